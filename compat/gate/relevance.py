"""Ground truth of a check: the rows that are relevant to each query."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.inference.encode import encode_all
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.judgements import read_judgements
from skipfill.store.retrieval.relevance import Judgements, Relevance, SameLabel
from skipfill.store.retrieval.search import search


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
        return read_judgements(context.inputs.judgements, items.ids, context.gallery.rows.id_kind)
    return _first_of_reindex(context, items, vectors, reencodable)


def _first_of_reindex(context: CheckContext, items: Items, vectors: Matrix, reencodable: ReencodableRows) -> Judgements:
    """The first rows that a reindex with the ceiling, or with the new model, returns; the query's own left out."""
    if reencodable.items is None:
        raise BadInput(
            Parameter("truth", "reindex"),
            expected="items of gallery rows, to encode again",
            found="none",
            hint=Advice("give_them", parameter="gallery_items"),
        )
    if context.ceiling is not None:
        vectors = encode_all(context.ceiling, items, context.progress)
    model = context.ceiling or context.model
    rows = reencodable.encoded_by(model)
    context.progress.start(f"what a reindex with {model.card.name} returns", rows.count)
    # One more than is wanted: the query's own row may be among them.
    depth = context.inputs.depth
    hits = search(rows, vectors, depth + 1, progress=context.progress.advance)
    count = min(depth + 1, rows.count)
    query = np.repeat(np.arange(len(items)), count)
    other = np.ones(len(query), bool)
    if hits.ids.type == items.ids.type:
        other = pc.not_equal(hits.ids, items.ids.take(pa.array(query))).to_numpy(zero_copy_only=False)
    first = other & (np.add.accumulate(other.reshape(-1, count), axis=1).reshape(-1) <= depth)
    return Judgements(len(items), query[first], hits.ids.filter(pa.array(first)), np.ones(int(first.sum()), np.float32))
