"""Measure, on the stored gallery, whether queries of a new model find what those of the old one find, and more."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.bootstrap import Values
from skipfill.compat.check_inputs import (
    CheckInputs,
    StoredTruth,
    encoded,
    items_of_rows,
    old_queries,
    open_queries,
    stored_truth,
)
from skipfill.compat.encoding import write_encoded
from skipfill.compat.evidence import PerQuery, Policy, measure_slice, worst
from skipfill.compat.loaded_model import LoadedModel, load_model, viewed
from skipfill.compat.metrics import METRICS
from skipfill.compat.searching import released_model
from skipfill.compat.stages import Stages
from skipfill.store.checks import Report, save_report
from skipfill.store.errors import BadInput
from skipfill.store.galleries import Gallery, open_gallery
from skipfill.store.gallery_rows import Columns, StoredRows
from skipfill.store.items import Items
from skipfill.store.objects import Objects
from skipfill.store.release import view_onto
from skipfill.store.relevant_ranks import Queries, relevant_ranks
from skipfill.store.spaces import Metric
from skipfill.store.vector_column import Matrix

TRAINED, OTHERS = "trained-on", "others"


def check_model(
    objects: Objects, name: str, model_name: str, inputs: CheckInputs, policy: Policy, stages: Stages = Stages()
) -> Report:
    """Measure model on gallery, save the report and return it.

    The old query vectors are the stored vectors of the queries' own ids where the gallery has them all (each query's
    own row is left out of its ranking); otherwise the old model encodes the queries, if it is still at hand.

    Raises:
        BadInput: no labels, no overlap, no view, or no way to get the old query vectors.
    """
    began = time.monotonic()
    gallery = open_gallery(objects, name)
    model = load_model(objects, model_name)
    view = view_onto(model.card, gallery.space.name)
    warnings: list[str] = []
    queries = open_queries(objects, gallery, model, inputs, warnings)
    truth = stored_truth(gallery, queries, model.card.trained_labels, stages)
    items, truth = _answerable(gallery, queries, truth, warnings)
    ranker = _Ranker(items, stages)
    old, baseline = old_queries(objects, gallery, model, items, truth, inputs, stages, warnings)
    own = encoded(model, items, stages)
    vectors = {"old/old": old, "new/old": viewed(own, view)}
    if (released := _released(objects, gallery, model)) is not None:
        assert gallery.version.release is not None
        vectors["released/old"] = viewed(encoded(released, items, stages), gallery.version.release.view)
    stored = {pair: ranker.values(pair, one, gallery.rows, gallery.space.metric) for pair, one in vectors.items()}
    reencoded: PerQuery = {}
    again = items_of_rows(gallery.rows, inputs)
    if again is None:
        warnings.append("new/new and update gain are not measured: give the gallery's items with --gallery-items FILES")
    else:
        reencoded = _on_rows_at_hand(ranker, gallery, again, stored, vectors, warnings)
        reencoded["new/new"] = ranker.reindexed(model, own, again)
        if inputs.ceiling:
            top = load_model(objects, inputs.ceiling)
            reencoded["ceiling"] = ranker.reindexed(top, encoded(top, items, stages), again)
    trained = pc.is_in(items.labels, value_set=pa.array(model.card.trained_labels, pa.string()))
    known: NDArray[np.bool_] = trained.to_numpy(zero_copy_only=False)
    groups = {"all": np.ones(len(items), bool), TRAINED: known, OTHERS: ~known}
    ceiling = "ceiling" if inputs.ceiling else "new/new"
    slices = [
        measure_slice(one, stored, reencoded, ceiling, group, policy) for one, group in groups.items() if group.any()
    ]
    unseen = [
        name
        for name, held in zip((TRAINED, OTHERS), truth.holds, strict=True)
        if held and not groups[name].any() and name not in policy.accept_worse
    ]
    verdicts = [one.verdict for one in slices]
    if unseen:
        verdicts.append("inconclusive")
    against = " and ".join(pair for pair in stored if pair != "new/old")
    report = Report(
        gallery=name,
        version=gallery.version.number,
        state=gallery.version.state,
        model=model_name,
        fingerprint=model.card.fingerprint,
        verdict=worst(verdicts),
        why=[f"{one.name}: {_reason(one.verdict, one.name, policy, against)}" for one in slices]
        + [f"{name}: no query of such a class, though the gallery has rows of them" for name in unseen],
        slices=slices,
        policy=policy.described(),
        gallery_rows=gallery.rows.count,
        reencoded_rows=0 if again is None else len(again),
        ceiling=inputs.ceiling,
        baseline=baseline,
        warnings=warnings,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - began, 2),
    )
    return save_report(objects, report, _per_query(items, known, stored, reencoded))


@dataclass(frozen=True)
class _Ranker:
    """Turns query vectors into per-query values of every metric; NaN where these rows have nothing to find."""

    items: Items
    stages: Stages

    def values(self, pair: str, vectors: Matrix, rows: StoredRows, metric: Metric) -> dict[str, Values]:
        self.stages.start(pair, 2 * len(vectors) * rows.count)
        queries = Queries(self.items.ids, self.items.labels, vectors)
        ranks = relevant_ranks(rows, queries, metric, self.stages.advance).ranks
        return {
            name: np.array([metric_of(one) if len(one) else np.nan for one in ranks])
            for name, metric_of in METRICS.items()
        }

    def reindexed(self, model: LoadedModel, queries: Matrix, items: Items) -> dict[str, Values]:
        """The same when gallery and queries are both encoded by `model`."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "reencoded.parquet"
            self.stages.start(f"encoding gallery items with {model.card.name}", len(items))
            write_encoded(model, items, path, self.stages.advance)
            rows = StoredRows.open([path], Columns(label="label"), model.card.dim)
            return self.values(f"{model.card.name}/{model.card.name}", queries, rows, "cosine")


def _answerable(gallery: Gallery, queries: Items, truth: StoredTruth, warnings: list[str]) -> tuple[Items, StoredTruth]:
    """The queries with a relevant row in the gallery: the others find nothing with any model, and prove nothing."""
    if truth.labels.different:
        warnings.append(
            f"{truth.labels.different} of {truth.labels.compared} queries have another label than the gallery's row of "
            "the same id"
        )
    usable = truth.relevant > 0
    if not usable.any():
        assert queries.labels is not None
        raise BadInput(
            queries.where,
            expected=f"labels that gallery {gallery.name} has",
            found=f"none (first: {queries.labels[0].as_py()!r})",
            hint="Name the label column with --label COLUMN.",
        )
    if not usable.all():
        warnings.append(f"{(~usable).sum()} queries left out: the gallery has no row of their label to be found")
    return queries.restricted(usable), truth.restricted(usable)


def _released(objects: Objects, gallery: Gallery, model: LoadedModel) -> LoadedModel | None:
    """The model that queries use now, when it is neither the old one nor the one to be checked."""
    release = gallery.version.release
    if release is None or release.fingerprint in (gallery.space.fingerprint, model.card.fingerprint):
        return None
    return released_model(objects, gallery)


def _on_rows_at_hand(
    ranker: _Ranker,
    gallery: Gallery,
    again: Items,
    stored: PerQuery,
    vectors: dict[str, Matrix],
    warnings: list[str],
) -> PerQuery:
    """old/old and new/old on the rows that can be encoded again, so that the update gain compares like with like."""
    pairs = ("old/old", "new/old")
    if len(again) == gallery.rows.count:
        return {pair: stored[pair] for pair in pairs}
    warnings.append(
        f"new/new and update gain are measured on the {len(again)} of {gallery.rows.count} gallery rows whose items "
        "are at hand"
    )
    part = gallery.rows.restricted(again.ids, len(again))
    return {pair: ranker.values(f"{pair}, sample", vectors[pair], part, gallery.space.metric) for pair in pairs}


def _reason(verdict: str, name: str, policy: Policy, against: str) -> str:
    if name in policy.accept_worse:
        return "accepted as it is, by --accept-worse"
    better = "better" if name == "all" else f"at most {policy.margin:g} worse"
    claim = {"pass": "is", "fail": "is not", "inconclusive": "may or may not be"}[verdict]
    return f"new/old {claim} {better} than {against} in {policy.metric} ({policy.confidence:.0%} confidence)"


def _per_query(items: Items, trained: NDArray[np.bool_], stored: PerQuery, reencoded: PerQuery) -> pa.Table:
    columns = {
        "id": items.ids,
        "label": items.labels,
        "slice": pa.array(np.where(trained, TRAINED, OTHERS)),
    }
    for where, cells in (("", stored), ("sample ", reencoded)):
        for pair, metrics in cells.items():
            for metric, values in metrics.items():
                columns[f"{where}{pair} {metric}"] = pa.array(values)
    return pa.table(columns)
