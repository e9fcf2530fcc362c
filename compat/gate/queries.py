"""Queries of a check: the given items that may be queries and have something to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from skipfill.compat.evaluation.labels import required_labels
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup, look_up_queries
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.gate.relevance import relevance_of
from skipfill.compat.inference.encode import encode_all
from skipfill.store.errors import Advice, BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.relevance import Relevance


@dataclass(frozen=True)
class QuerySet:
    """Q queries that have something to find.

    Attributes:
        items: where they come from.
        relevance: which rows are relevant to each.
        lookup: what the gallery holds of them.
        vectors: (Q, D) their L2-normalised vectors by the new model, in its own space.
        ids: rows of these ids are the queries themselves; NULL where queries are no rows.
    """

    items: Items
    relevance: Relevance
    lookup: QueryLookup
    vectors: Matrix
    ids: pa.Array


def build_query_set(context: CheckContext, reencodable: ReencodableRows) -> QuerySet:
    """Open, encode and look up the queries, and keep those with a relevant row in the gallery.

    The others find nothing with any model, and prove nothing: they are warned of.

    Raises:
        BadInput: no ground truth, no item that may be a query, or no relevant row for any.
    """
    items = _open_queries(context)
    vectors = encode_all(context.model, items, context.progress)
    relevance = relevance_of(context, items, vectors, reencodable)
    lookup = look_up_queries(context, items, relevance)
    if lookup.labels.different:
        context.warnings.append(
            f"{lookup.labels.different} of {lookup.labels.compared} queries have another label than the gallery's row "
            "of the same id"
        )
    answerable = lookup.relevant > 0
    if not answerable.any():
        raise BadInput(
            items.where,
            expected=f"{context.inputs.truth} that gallery {context.gallery.name} has rows of",
            found="none" if items.labels is None else f"none (first label: {items.labels[0].as_py()!r})",
            hint=Advice("name_column", parameter="label"),
        )
    if not answerable.all():
        context.warnings.append(f"{(~answerable).sum()} queries left out: the gallery has no row to be found for them")
    kept = items.restricted(answerable)
    ids = kept.ids if context.inputs.queries_are_rows else pa.nulls(len(kept), kept.ids.type)
    return QuerySet(kept, relevance.restricted(answerable), lookup.restricted(answerable), vectors[answerable], ids)


def _open_queries(context: CheckContext) -> Items:
    """The items that may be queries: not trained on, and labelled where that matters. Others are warned of."""
    items = open_items(context.inputs.items, context.inputs.columns)
    name = context.model.card.name
    usable = np.ones(len(items), bool)
    by_labels = context.inputs.truth == "labels"
    if by_labels:
        labels = required_labels(items, Advice("label_or_other_truth"))
        _refuse_unlabelled(context.gallery)
        usable = labels.is_valid().to_numpy(zero_copy_only=False)
        if not usable.all():
            context.warnings.append(f"{(~usable).sum()} queries left out: they have no label")
    trained_on = positions(items.ids, context.training_ids) >= 0
    if trained_on.any() and context.inputs.queries_are_rows:
        context.warnings.append(f"{trained_on.sum()} queries left out: model {name} was trained on them")
        usable &= ~trained_on
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"items that model {name} was not trained on" + (", labelled" if by_labels else ""),
            found="none",
            hint=Advice("keep_items_out"),
        )
    return items.restricted(usable)


def _refuse_unlabelled(gallery: Gallery) -> None:
    if not gallery.rows.columns.label:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="a label column, to know which rows are relevant",
            found="none registered",
            hint=Advice("register_label_or_other_truth", space=gallery.space.name),
        )
