"""Ground truth of a check: the rows that are relevant to each query."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skipfill.compat.gate.reencoded import ReencodableRows
from skipfill.compat.gate.run import CheckRun
from skipfill.compat.inference.encode import encode_all
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.retrieval.judgements import read_judgements
from skipfill.store.retrieval.relevance import Judgements, Relevance, SameLabel
from skipfill.store.retrieval.search import search


def relevance_of(run: CheckRun, items: Items, vectors: Matrix, reencodable: ReencodableRows) -> Relevance:
    """The relevant rows of Q queries: those of their label, the judged ones, or the first of a reindex.

    Args:
        vectors: (Q, D) the queries' vectors by the new model.

    Raises:
        BadInput: unusable judgements, or a reindex without items of gallery rows.
    """
    if run.inputs.truth == "labels":
        return SameLabel(items.labels)
    if run.inputs.judgements is not None and run.inputs.truth == "judgements":
        return read_judgements(run.inputs.judgements, items.ids, run.gallery.rows.id_kind)
    return _first_of_reindex(run, items, vectors, reencodable)


def _first_of_reindex(run: CheckRun, items: Items, vectors: Matrix, reencodable: ReencodableRows) -> Judgements:
    """The first rows that a reindex with the ceiling, or with the new model, returns; the query's own left out."""
    if reencodable.items is None:
        raise BadInput(
            Parameter("truth", "reindex"),
            expected="items of gallery rows, to encode again",
            found="none",
            hint=Advice("give_them", parameter="gallery_items"),
        )
    if run.ceiling is not None:
        vectors = encode_all(run.ceiling, items, run.progress)
    model = run.ceiling or run.model
    rows = reencodable.by(model)
    run.progress.start(f"what a reindex with {model.card.name} returns", rows.count)
    # One more than is wanted: the query's own row may be among them.
    depth = run.inputs.depth
    hits = search(rows, vectors, depth + 1, progress=run.progress.advance)
    count = min(depth + 1, rows.count)
    query = np.repeat(np.arange(len(items)), count)
    other = np.ones(len(query), bool)
    if hits.ids.type == items.ids.type:
        other = pc.not_equal(hits.ids, items.ids.take(pa.array(query))).to_numpy(zero_copy_only=False)
    first = other & (np.add.accumulate(other.reshape(-1, count), axis=1).reshape(-1) <= depth)
    return Judgements(len(items), query[first], hits.ids.filter(pa.array(first)), np.ones(int(first.sum()), np.float32))
