"""A frozen encoder in training: each item is encoded once, before the first epoch, and not in every epoch again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipfill.compat.encoder import Encoder
from skipfill.compat.prepared import as_float
from skipfill.store.items import ItemBlock

ITEMS_AT_ONCE = 256


class FeaturesOnce(Encoder):
    """Takes the place of a frozen encoder in a training. Its prepared items are the features; it has no weights."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._encode = encoder.eval().__call__  # a function, not a submodule: nothing to train or to checkpoint
        self._prepare = encoder.prepare
        self.takes = encoder.takes
        self.width = encoder.width

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        """(N, F) features of the items as they are, without augmentation."""
        prepared = self._prepare(block)
        with torch.inference_mode():
            parts = [
                self._encode(as_float(prepared[start : start + ITEMS_AT_ONCE]))
                for start in range(0, len(prepared), ITEMS_AT_ONCE)
            ]
        features: NDArray[np.float32] = torch.cat(parts).float().numpy()
        return features

    def forward(self, batch: Tensor) -> Tensor:
        return batch
