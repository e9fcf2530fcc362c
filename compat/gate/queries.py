"""Queries of a check: items that may be queries, and those with something to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.gate.query_lookup import QueryLookup, look_up_queries
from skipfill.compat.gate.reencoded import ReencodableRows
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.progress import Progress
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.ids import positions
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.judgements import read_judgements
from skipfill.store.retrieval.relevance import Judgements, Relevance, SameLabel
from skipfill.store.retrieval.search import search


def open_queries(
    gallery: Gallery, model: LoadedModel, seen: pa.Array, inputs: CheckInputs, warnings: list[str]
) -> Items:
    """The items that can be queries: not trained on, and labelled where that matters. What is left out is warned of.

    Args:
        seen: ids of the items that the model was trained on.

    Raises:
        BadInput: no labels among the items or in the gallery though they are the truth, or no item is left.
    """
    items = open_items(inputs.items, inputs.columns)
    usable = np.ones(len(items), bool)
    if inputs.truth == "labels":
        _refuse_no_labels(items, gallery)
        assert items.labels is not None
        usable = items.labels.is_valid().to_numpy(zero_copy_only=False)
        if not usable.all():
            warnings.append(f"{(~usable).sum()} queries left out: they have no label")
    trained = positions(items.ids, seen) >= 0
    if trained.any() and inputs.queries_are_rows:
        warnings.append(f"{trained.sum()} queries left out: model {model.card.name} was trained on them")
        usable &= ~trained
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"items that model {model.card.name} was not trained on"
            + (", labelled" if inputs.truth == "labels" else ""),
            found="none",
            hint="Keep some items out of the training: skipfill train ... --items TRAIN.parquet",
        )
    return items.restricted(usable)


def _refuse_no_labels(items: Items, gallery: Gallery) -> None:
    if items.labels is None:
        raise BadInput(
            items.where,
            expected="labelled queries (a label column)",
            found="no labels",
            hint="Name the label column with --label COLUMN, or give --judgements FILE, or --truth reindex.",
        )
    if not gallery.rows.columns.label:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="a label column, to know which rows are relevant",
            found="none registered",
            hint=f"Register the files again: skipfill gallery add NAME FILES... --space {gallery.space.name} "
            "--label COLUMN; or give --judgements FILE, or --truth reindex.",
        )


def units_of(identity: pa.Array | None, vectors: Matrix) -> NDArray[np.int64]:
    """(Q,) which queries stand or fall together: those of one identity, or the very same query asked twice.

    Args:
        identity: (Q,) strings; None where every query is its own. NULL is nobody in particular.
        vectors: (Q, D) the queries' vectors by the new model.
    """
    _, same = np.unique(vectors, axis=0, return_inverse=True)
    same = np.asarray(same, np.int64).reshape(-1)
    if identity is None:
        return same
    codes = identity.dictionary_encode().indices
    named = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(named >= 0, named, len(identity) + same)


@dataclass(frozen=True)
class QuerySet:
    """Q queries that have something to find.

    Attributes:
        items: where they come from.
        truth: what is relevant to each.
        facts: what the gallery knows of them.
        own: (Q, D) their vectors by the new model, in its own space.
        ids: rows of these ids are the queries themselves; NULL where queries are no rows.
    """

    items: Items
    truth: Relevance
    facts: QueryLookup
    own: Matrix
    ids: pa.Array


def ground_truth(
    gallery: Gallery,
    items: Items,
    own: Matrix,
    judge: LoadedModel,
    at_hand: ReencodableRows,
    inputs: CheckInputs,
    progress: Progress,
) -> Relevance:
    """What is relevant to each query.

    Args:
        own: (Q, D) query vectors by `judge`, whose reindex decides where `inputs.truth` is `reindex`.
    """
    if inputs.truth == "labels":
        return SameLabel(items.labels)
    if inputs.truth == "judgements":
        if inputs.judgements is None:
            raise BadInput("--truth judgements", expected="--judgements FILE", found="none")
        return read_judgements(inputs.judgements, items.ids, gallery.rows.id_kind)
    if at_hand.items is None:
        raise BadInput(
            "--truth reindex",
            expected="items of gallery rows, to encode again",
            found="none",
            hint="Give them with --gallery-items FILES.",
        )
    # One more than is wanted: the query's own row may be among them.
    rows = at_hand.by(judge)
    progress.start(f"what a reindex with {judge.card.name} returns", rows.count)
    hits = search(rows, own, inputs.depth + 1, progress=progress.advance)
    found = min(inputs.depth + 1, rows.count)
    query = np.repeat(np.arange(len(items)), found)
    other = np.ones(len(query), bool)
    if hits.ids.type == items.ids.type:
        other = pc.not_equal(hits.ids, items.ids.take(pa.array(query))).to_numpy(zero_copy_only=False)
    first = other & (np.add.accumulate(other.reshape(-1, found), axis=1).reshape(-1) <= inputs.depth)
    return Judgements(len(items), query[first], hits.ids.filter(pa.array(first)), np.ones(int(first.sum()), np.float32))


def asked(
    gallery: Gallery,
    items: Items,
    truth: Relevance,
    own: Matrix,
    known_labels: list[str],
    seen: pa.Array,
    inputs: CheckInputs,
    progress: Progress,
    warnings: list[str],
) -> QuerySet:
    """The queries with a relevant row in the gallery: the others find nothing with any model, and prove nothing."""
    facts = look_up_queries(
        gallery, items, truth, known_labels, seen, progress, queries_are_rows=inputs.queries_are_rows
    )
    if facts.labels.different:
        warnings.append(
            f"{facts.labels.different} of {facts.labels.compared} queries have another label than the gallery's row of "
            "the same id"
        )
    usable = facts.relevant > 0
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"{inputs.truth} that gallery {gallery.name} has rows of",
            found="none" if items.labels is None else f"none (first label: {items.labels[0].as_py()!r})",
            hint="Name the label column with --label COLUMN.",
        )
    if not usable.all():
        warnings.append(f"{(~usable).sum()} queries left out: the gallery has no row to be found for them")
    kept = items.restricted(usable)
    ids = kept.ids if inputs.queries_are_rows else pa.nulls(len(kept), kept.ids.type)
    return QuerySet(kept, truth.restricted(usable), facts.restricted(usable), own[usable], ids)
