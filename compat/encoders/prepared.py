"""Decodes items once into a memory-mapped array, so that training never waits for a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder, PreparedItems
from skipfill.store.parquet.items import Items
from skipfill.store.storage.scratch_array import scratch_array


@dataclass(frozen=True)
class Prepared:
    """N prepared items, in memory or in a file that is paged in as needed."""

    items: PreparedItems

    def __len__(self) -> int:
        return len(self.items)

    def raw(self, rows: Tensor) -> PreparedItems:
        """The items of these rows, in the type that they are kept in."""
        chosen: PreparedItems = np.asarray(self.items)[rows.numpy()]
        return chosen

    def batch(self, rows: Tensor) -> Tensor:
        """The items of these rows as the tensor that encoders take, see `as_float`."""
        return as_float(self.raw(rows))


def as_float(items: PreparedItems) -> Tensor:
    """Prepared items as the tensor that encoders take: bytes become [0, 1], integers (tokens) stay as they are."""
    tensor = torch.from_numpy(np.require(items, requirements=["C", "W"]))
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor


def prepare_items(items: Items, encoder: Encoder, scratch: Path, progress: Callable[[int], None]) -> Prepared:
    """Decode all items into a file in `scratch`. Shape and type are those of the first block.

    Args:
        progress: called with the number of items decoded since the last call.
    """
    array: PreparedItems | None = None
    start = 0
    for block in items.blocks():
        part = encoder.prepare(block)
        if array is None:
            array = scratch_array(scratch, part.dtype, (len(items), *part.shape[1:]))
        array[start : start + len(part)] = part
        start += len(part)
        progress(len(part))
    assert array is not None
    return Prepared(array)
