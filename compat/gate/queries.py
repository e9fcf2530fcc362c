"""Queries of a check: the given items that may be queries and have something to find, and the rows relevant to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gate.admission.admit import Admission
from skipfill.compat.gate.admission.brought_vectors import brought_vectors
from skipfill.compat.gate.admission.registry import OF_TRUTH
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup, look_up_queries
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.inference.bfloat16 import rough_products
from skipfill.compat.inference.encode import encode_all
from skipfill.store.checks.policy import NEIGHBOURS
from skipfill.store.checks.queries import Queries
from skipfill.store.engine.engine import LOCAL
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import stored_vectors
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.judgements import read_judgements
from skipfill.store.retrieval.query_digests import query_digests
from skipfill.store.retrieval.relevance import Judgements, Relevance, SameLabel
from skipfill.store.retrieval.search import search


@dataclass(frozen=True)
class QuerySet:
    """Q queries that have something to find.

    Attributes:
        items: where they come from.
        relevance: which rows are relevant to each.
        lookup: what the gallery holds for them.
        vectors: (Q, D) their L2-normalised vectors by the new model, in its own space.
        ids: rows of these ids are the queries themselves; NULL where queries are not rows.
        asked: a digest of each query that was given, including those that were left out.
    """

    items: Items
    relevance: Relevance
    lookup: QueryLookup
    vectors: Matrix
    ids: pa.Array
    asked: list[str]

    def restricted(self, chosen: NDArray[np.bool_]) -> QuerySet:
        """The same with some of the queries, (Q,) bool."""
        return replace(
            self,
            items=self.items.restricted(chosen),
            relevance=self.relevance.restricted(chosen),
            lookup=self.lookup.restricted(chosen),
            vectors=self.vectors[chosen],
            ids=self.ids.filter(pa.array(chosen)),
        )

    def in_all(self, sets: Sequence[QuerySet]) -> NDArray[np.bool_]:
        """(Q,) bool, the queries that are in all of the sets."""
        kept = np.ones(len(self.items), bool)
        for other in sets:
            kept &= IdSet.of([other.items.ids]).holds(self.items.ids)
        return kept


def build_query_set(context: CheckContext, reencodable: ReencodableRows) -> QuerySet:
    """Open the items, encode and look up those that are admitted, and keep those with a relevant row in the gallery.

    Raises:
        BadInput: no ground truth, no item that may be a query, or no relevant row for any; see `gate/admission`.
    """
    given = context.open_items(context.inputs.items)
    admission = Admission(context, len(given))
    admitted = _admitted(context, given, admission)
    items = given.restricted(admitted)
    vectors = encode_all(context.model, items, context.progress, engine=context.engine)
    relevance = relevance_of(context, items, vectors, reencodable)
    lookup = look_up_queries(context, items, relevance)
    kept = admission.of_lookup(items, lookup)
    if not kept.any():
        raise _nothing_to_find(context, items, lookup, relevance)
    queries = items.restricted(kept)
    ids = queries.ids if context.inputs.queries_are_rows else pa.nulls(len(queries), queries.ids.type)
    digests = _asked(given, admitted, relevance)
    return QuerySet(queries, relevance.restricted(kept), lookup.restricted(kept), vectors[kept], ids, digests)


def asked(context: CheckContext, queries: QuerySet, basis: dict[str, str]) -> Queries:
    """Digests of everything that was asked, so that another check can be compared with this one.

    Args:
        basis: of the groups: see `Grouping`.
    """
    inputs = context.inputs
    basis = {**basis, "old_input": inputs.old_input, "old_vector": inputs.old_vector}
    return Queries.of(queries.asked, " ".join(f"{name}={value!r}" for name, value in basis.items() if value))


def _asked(given: Items, admitted: NDArray[np.bool_], relevance: Relevance) -> list[str]:
    """Digests of all queries that were given. Leaving some out changes what was asked."""
    digests = query_digests(given.restricted(admitted), relevance.contents())
    if not admitted.all():
        digests += query_digests(given.restricted(~admitted), repeat(""))
    return digests


def _nothing_to_find(context: CheckContext, items: Items, lookup: QueryLookup, relevance: Relevance) -> BadInput:
    if isinstance(relevance, Judgements) and context.inputs.truth == "judgements":
        return _no_judged_row(context, items, relevance)
    found = "none"
    if lookup.other_forms:
        found += " for {!r}, where the gallery has {!r}".format(*next(iter(lookup.other_forms.items())))
    elif items.labels is not None:
        found += f" (first label: {items.labels[0].as_py()!r})"
    return BadInput(
        items.where,
        expected=f"{context.inputs.truth} that gallery {context.gallery.name} has rows of",
        found=found,
        hint=Advice("name_column", parameter="label"),
    )


def _no_judged_row(context: CheckContext, items: Items, judged: Judgements) -> BadInput:
    others = judged.row
    if context.inputs.queries_are_rows and judged.row.type == items.ids.type:
        others = others.filter(pc.not_equal(judged.row, items.ids.take(pa.array(judged.query))))
    return BadInput(
        str(context.inputs.judgements),
        expected=f"ids of rows of gallery {context.gallery.name}",
        found=f"none (first: row {others[0].as_py()!r})" if len(others) else "only the queries' own rows",
    )


def _admitted(context: CheckContext, items: Items, admission: Admission) -> NDArray[np.bool_]:
    """(N,) which of the items may be queries."""
    kept = admission.of_items(items)
    if not kept.any():
        labelled = ", labelled" if context.inputs.truth == "labels" else ""
        raise BadInput(
            items.where,
            expected=f"items that model {context.model.card.name} was not trained on{labelled}",
            found="none",
            hint=Advice("keep_items_out"),
        )
    return kept


def relevance_of(context: CheckContext, items: Items, vectors: Matrix, reencodable: ReencodableRows) -> Relevance:
    """The relevant rows of Q queries: those of their label, the judged ones, or the first of a reindex.

    Args:
        vectors: (Q, D) the queries' vectors by the new model.

    Raises:
        BadInput: unusable judgements, or a reindex without items of gallery rows.
    """
    if context.inputs.truth == "labels":
        return SameLabel(items.labels)
    if context.inputs.judgements is not None and context.inputs.truth == "judgements":
        context.pins.watch(context.inputs.judgements)
        return read_judgements(context.inputs.judgements, items.ids, context.gallery.rows.id_kind)
    if context.inputs.truth == NEIGHBOURS:
        return _first_neighbours(context, items)
    return _first_of_reindex(context, items, vectors, reencodable)


def _first_neighbours(context: CheckContext, items: Items) -> Judgements:
    """The first rows that the stored vector of each query finds; none for queries that are not rows."""
    rows = context.gallery.rows
    vectors = stored_vectors(rows, items.ids, context.engine)
    are_rows = vectors.any(axis=1)
    if not are_rows.any():
        raise BadInput(
            Parameter("truth", NEIGHBOURS),
            expected=f"queries that are rows of gallery {context.gallery.name}, with stored vectors of their own",
            found=f"none of {len(items)}",
            hint=Advice("name_column", parameter="id"),
        )
    return _first_found(context, items, vectors, rows, "what the stored vectors find")


def _first_of_reindex(context: CheckContext, items: Items, vectors: Matrix, reencodable: ReencodableRows) -> Judgements:
    """The first rows that a reindex with another model returns; the query's own left out."""
    if reencodable.items is None:
        raise BadInput(
            Parameter("truth", "reindex"),
            expected="items of gallery rows, to encode again",
            found="none",
            hint=Advice("give_them", parameter="gallery_items"),
        )
    judge, rows, vectors = _reindex(context, items, vectors, reencodable.items, reencodable)
    return _first_found(context, items, vectors, rows, f"what a reindex with {judge} returns")


def _first_found(context: CheckContext, items: Items, vectors: Matrix, rows: StoredRows, stage: str) -> Judgements:
    """The first rows that each vector finds among `rows`, the query's own left out; none for a vector of zeros."""
    context.progress.start(stage, rows.count)
    # One more than is wanted: the query's own row may be among them.
    depth = context.inputs.depth
    has_vector = np.any(vectors, axis=1)
    sought = np.where(has_vector[:, None], vectors, np.float32(1))
    engine = context.engine if rows is context.gallery.rows else LOCAL
    rough = rough_products(sought, rows.count)
    hits = search(rows, sought, depth + 1, progress=context.progress.advance, engine=engine, rough=rough)
    count = min(depth + 1, rows.count)
    query = np.repeat(np.arange(len(items)), count)
    other = np.ones(len(query), bool)
    if hits.ids.type == items.ids.type:
        other = pc.not_equal(hits.ids, items.ids.take(pa.array(query))).to_numpy(zero_copy_only=False)
    other &= has_vector[query]
    first = other & (np.add.accumulate(other.reshape(-1, count), axis=1).reshape(-1) <= depth)
    return Judgements(len(items), query[first], hits.ids.filter(pa.array(first)), np.ones(int(first.sum()), np.float32))


def _reindex(
    context: CheckContext, items: Items, vectors: Matrix, of_rows: Items, reencodable: ReencodableRows
) -> tuple[str, StoredRows, Matrix]:
    """The name of the model that says what is relevant, or of its column; its vectors of rows and of queries."""
    column = context.inputs.truth_vector
    if not column:
        model = context.ceiling or context.model
        if context.ceiling is not None:
            vectors = encode_all(context.ceiling, items, context.progress, engine=context.engine)
        return model.card.name, reencodable.encoded_by(model), vectors
    rows = StoredRows.open(of_rows.files, Columns(of_rows.id_column, column), None, context.pins)
    brought = brought_vectors(items, column, rows.dim, "truth_vector")
    context.record(rule(context, brought, vectors) for rule in OF_TRUTH.values())
    return f"column {column}", rows.restricted(of_rows.ids, len(of_rows)), brought
