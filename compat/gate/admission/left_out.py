"""Queries without a label or a relevant row are left out. Only a limited share may be."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from skipfill.compat.evaluation.labels import required_labels
from skipfill.compat.gate.admission.ruling import Finding, Mask, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.store.errors import Advice, BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.items import Items

SHOWN = 4


@dataclass(frozen=True)
class LeftOut:
    """Queries that were left out, of those that the model was not trained on.

    Attributes:
        count: how many.
        among: of how many.
        reasons: a sentence for each rule that left some out.
    """

    count: int
    among: int
    reasons: list[str]


def without_label(context: CheckContext, items: Items) -> Ruling:
    """Leave out queries without a label, where labels are the truth.

    Raises:
        BadInput: neither items nor gallery have labels.
    """
    if context.inputs.truth != "labels":
        return Ruling()
    labels = required_labels(items, Advice("label_or_other_truth"))
    _refuse_unlabelled(context.gallery)
    left_out = ~labels.is_valid().to_numpy(zero_copy_only=False)
    notes = [_left_out(left_out, "no label")] if left_out.any() else []
    return Ruling(left_out, counts=True, notes=notes)


def without_relevant_row(context: CheckContext, items: Items, lookup: QueryLookup) -> Ruling:
    """Leave out queries without a relevant row in the gallery: no model finds one, so they prove nothing."""
    left_out = lookup.relevant == 0
    if not left_out.any():
        return Ruling()
    note = _left_out(left_out, "the gallery has no relevant row")
    if context.inputs.truth == "labels" and items.labels is not None:
        labels = items.labels.filter(pa.array(left_out)).unique().to_pylist()
        missing = [label for label in labels if label in lookup.other_forms]
        shown = [f"{label!r} ({lookup.other_forms[label]!r} in the gallery)" for label in missing[:SHOWN]]
        if shown:
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            note += f"; labels that differ only in spaces, case or Unicode form: {', '.join(shown)}{more}"
    return Ruling(left_out, counts=True, notes=[note])


def label_of_another(context: CheckContext, items: Items, lookup: QueryLookup) -> Ruling:
    """Leave out queries with another label than the gallery's row of the same id: one of the two is wrong."""
    left_out = lookup.other_label
    if context.inputs.truth != "labels" or not left_out.any():
        return Ruling()
    note = _left_out(left_out, "another label than the gallery's row with the same id has")
    return Ruling(left_out, counts=True, notes=[note])


def few_left_out(context: CheckContext, left_out: LeftOut) -> Ruling:
    """Find that more queries are left out than the policy allows: the remaining ones may be those that got better."""
    most = context.policy.most_left_out
    if left_out.count <= most * left_out.among:
        return Ruling()
    share = left_out.count / left_out.among
    found = f"{left_out.count:,} of {left_out.among:,} are ({share:.1%}): {'; '.join(left_out.reasons)}"
    claim = f"at most {most:.1%} of the queries left out".replace(".0%", "%")
    return Ruling(findings=[Finding("few left out", left_out.count, claim, found)])


def _refuse_unlabelled(gallery: Gallery) -> None:
    if not gallery.rows.columns.label:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="a label column, to know which rows are relevant",
            found="none registered",
            hint=Advice("register_label_or_other_truth", space=gallery.space.name),
        )


def _left_out(queries: Mask, why: str) -> str:
    count = int(queries.sum())
    return f"{'1 query' if count == 1 else f'{count} queries'} left out: {why}"
