"""Items decoded once into a memory-mapped array, so that training never waits for a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.encoder import Encoder, PreparedItems
from skipfill.store.items import Items


@dataclass(frozen=True)
class Prepared:
    """N prepared items, on disk, paged in as needed."""

    items: PreparedItems

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, rows: Tensor) -> Tensor:
        """The float32 items of these rows; bytes become [0, 1]."""
        return as_float(self.items[rows.numpy()])


def as_float(items: PreparedItems) -> Tensor:
    """Prepared items as the float32 tensor that encoders take."""
    tensor = torch.from_numpy(np.require(items, requirements=["C", "W"]))
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor


def prepare_items(items: Items, encoder: Encoder, scratch: Path, progress: Callable[[int], None]) -> Prepared:
    """Decode all items into a file in `scratch`.

    Args:
        progress: called with the number of items decoded since the last call.
    """
    kind = np.dtype(np.uint8 if items.kind == "image" else np.float32)
    path = scratch / f"{uuid4().hex}.items"
    shape = (len(items), *encoder.item_shape)
    array = np.memmap(path, dtype=kind, mode="w+", shape=shape)
    start = 0
    for block in items.blocks():
        array[start : start + len(block.ids)] = encoder.prepare(block)
        start += len(block.ids)
        progress(len(block.ids))
    return Prepared(array)
