"""Encode items: into a Parquet file of vectors, or into memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.progress import Progress
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.models.cards import view_onto
from skipfill.store.parquet.formats.output import RowOutput
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.parts import map_items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.output_file import new_file


def write_encoded(
    model: LoadedModel,
    items: Items,
    output: Path,
    progress: Callable[[int], None] = lambda items: None,
    *,
    onto: str = "",
    engine: Engine = LOCAL,
) -> int:
    """Encode `items` into a new Parquet file, which appears whole or not at all: see `encoded_rows`.

    Args:
        onto: space to view the embeddings in, so that they can be rows beside its own; empty for the model's own.
        progress: called with the number of items encoded since the last call.
        engine: runs the model; the file is written here.

    Returns:
        The number of rows written.

    Raises:
        BadInput: the output exists, or its folder cannot be written to; the model has no view onto the space.
    """
    with new_file(output) as file, RowOutput(file, "parquet") as rows:
        for table in encoded_rows(model, [items], onto, items.labels is not None, engine):
            rows.write(table)
            progress(len(table))
    return rows.rows


def encoded_rows(
    model: LoadedModel, parts: Iterable[Items], onto: str, labelled: bool, engine: Engine = LOCAL
) -> Iterator[pa.Table]:
    """Encode items that come in parts: columns id, vector (FixedSizeList<f32>) and perhaps label.

    The metadata names the model and its fingerprint; with `onto`, the view too.

    Args:
        onto: space to view the embeddings in; empty for the model's own.
        labelled: whether there is a label column. It may have no values.

    Raises:
        BadInput: the model has no view onto the space.
    """
    view = view_onto(model.card, onto) if onto else None
    identity = {"model": model.card.name, "fingerprint": model.card.fingerprint}
    if view is not None:
        identity |= {"space": onto, "view": str(view)}
    for items in parts:
        start = 0
        for ids, vectors in _encoded(model, items, onto, engine):
            columns = {
                "id": ids,
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
            }
            if labelled and items.labels is not None:
                columns["label"] = items.labels.slice(start, len(ids))
            elif labelled:
                columns["label"] = pa.nulls(len(ids), pa.string())
            yield pa.table(columns).replace_schema_metadata({"skipfill": json.dumps(identity)})
            start += len(ids)


def encode_all(
    model: LoadedModel,
    items: Items,
    progress: Progress,
    what: str = "",
    *,
    onto: str = "",
    engine: Engine = LOCAL,
) -> Matrix:
    """(N, D) L2-normalised vectors of all items, in order and in memory.

    Args:
        what: name of the stage for the progress bar; empty: `encoding queries with MODEL`.
        onto: space to view them in; empty for the model's own.
        engine: runs the model.

    Raises:
        BadInput: the items are not of the kind that the model encodes, or it has no view onto the space.
        SkipfillError: an embedding is not finite.
    """
    progress.start(what or f"encoding queries with {model.card.name}", len(items))
    blocks = []
    for ids, vectors in _encoded(model, items, onto, engine):
        blocks.append(vectors)
        progress.advance(len(ids))
    return np.concatenate(blocks)


Encoded = Iterator[tuple[pa.Array, Matrix]]
"""Ids and vectors of items, block by block."""


def _encoded(model: LoadedModel, items: Items, onto: str, engine: Engine) -> Encoded:
    """All items in the model's own space, or viewed in the space `onto`."""
    model.refuse_other_items(items)
    return chain.from_iterable(map_items(_encoded_part, items, (model, onto), engine))


def _encoded_part(items: Items, model_and_view: tuple[LoadedModel, str], progress: Callable[[int], None]) -> Encoded:
    model, onto = model_and_view
    if not onto:
        return model.encode(items)
    return ((block.ids, view_of_block(model, block, onto)) for block in items.blocks())
