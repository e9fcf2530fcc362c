"""Runs an export on the witness items, one at a time and in a batch of 64, and compares it with skipfill itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from skipfill.compat.export.format import Encode, Format
from skipfill.compat.export.inputs import TextInput
from skipfill.compat.export.pipeline import QueryPipeline
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.inference.witness import read_witness
from skipfill.compat.inference.witness_items import SEED, as_block, fixed_items
from skipfill.store.errors import BadInput, SkipfillError, reason
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix, normalised
from skipfill.store.storage.object_store import ObjectStore

TOLERANCE = 1e-5
"""Largest difference in a coordinate of a vector of length 1. Two runtimes add up in different orders."""
BATCH = 64


@dataclass(frozen=True)
class Verified:
    """Result of a comparison.

    Attributes:
        items: how many different ones were encoded.
        batches: sizes of the batches that they came in.
        largest_difference: of any coordinate.
    """

    items: int
    batches: tuple[int, ...]
    largest_difference: float


def items_to_try(objects: ObjectStore, pipeline: QueryPipeline, *, no_tokens: bool) -> ItemBlock:
    """The witness items of the model, or fixed ones where it has none; with drawn old vectors where it blends some in.

    Args:
        no_tokens: whether texts of which the tokenizer makes no token are among them.
    """
    model = pipeline.model
    witness = read_witness(objects, model.card)
    items = fixed_items(model.network.encoder) if witness is None else witness.items
    if pipeline.brought:
        drawn = np.random.default_rng(SEED).normal(size=(len(items.ids), pipeline.dim))
        items = replace(items, old_vectors=normalised(drawn.astype(np.float32)))
    texts = [one for one in pipeline.inputs if isinstance(one, TextInput)]
    if no_tokens or not texts:
        return items
    return items.filter(texts[0].have_tokens(items))


def read_again(chosen: Format, pipeline: QueryPipeline, folder: Path, *, format: str) -> Encode:
    """Read an exported folder: see `Format.loaded`.

    Args:
        format: its name, for messages.

    Raises:
        BadInput: it cannot be read.
    """
    with _refusing_errors(pipeline, format):
        return chosen.loaded(pipeline, folder)


def verify(pipeline: QueryPipeline, encode: Encode, items: ItemBlock, *, format: str) -> Verified:
    """Compare the vectors of an export with those of skipfill.

    Args:
        items: N of them; the last text is long and is not put into the batch of 64.
        format: its name, for messages.

    Raises:
        BadInput: a difference of more than 1e-5 in some coordinate, or the export does not run.
    """
    count = len(items.ids)
    short = count - 1 if items.kind == "text" and count > 1 else count
    expected = np.concatenate(
        [
            view_of_block(pipeline.model, part, pipeline.space)
            for part in _parts(items, [short] if short < count else [])
        ]
    )
    batch = np.resize(np.arange(short), BATCH)
    largest = 0.0
    for rows in [*np.arange(count)[:, None], batch]:
        found = _encoded(encode, rows_of(items, rows), pipeline, format)
        difference = np.abs(found - expected[rows]).max(initial=0.0)
        if not difference <= TOLERANCE:  # NaN is not
            raise _refused(pipeline, format, f"others, by {difference:.1e} in a batch of {len(rows)}")
        largest = max(largest, float(difference))
    return Verified(count, (1, BATCH), largest)


def _encoded(encode: Encode, items: ItemBlock, pipeline: QueryPipeline, format: str) -> Matrix:
    with _refusing_errors(pipeline, format):
        found = encode(items)
    expected = (len(items.ids), pipeline.dim)
    if found.shape != expected:
        raise _refused(pipeline, format, f"vectors of shape {found.shape} instead of {expected}")
    return found


@contextmanager
def _refusing_errors(pipeline: QueryPipeline, format: str) -> Iterator[None]:
    """Raise `BadInput` for whatever another library raises about an export."""
    try:
        yield
    except SkipfillError:
        raise
    except Exception as error:
        raise _refused(pipeline, format, f"{type(error).__name__}: {reason(error)[:200]}") from error


def _refused(pipeline: QueryPipeline, format: str, found: str) -> BadInput:
    return BadInput(
        f"model {pipeline.model.card.name}, format {format}",
        expected="an export that gives the vectors of the witness items as skipfill does, to 1e-5",
        found=found,
        hint="Nothing was written.",
    )


def rows_of(items: ItemBlock, rows: np.ndarray) -> ItemBlock:
    """Some of the items."""
    inputs = [items.inputs[row] for row in rows] if isinstance(items.inputs, list) else items.inputs[rows]
    old = items.old_vectors
    return replace(as_block(inputs), old_vectors=None if old is None else old[rows])


def _parts(items: ItemBlock, cuts: list[int]) -> list[ItemBlock]:
    return [rows_of(items, rows) for rows in np.split(np.arange(len(items.ids)), cuts)]
