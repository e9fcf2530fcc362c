"""Items as features of an encoder at rest: each is encoded once, and not in every epoch again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.training_data import TrainingData

ITEMS_AT_ONCE = 256


class Features(Encoder):
    """Takes the place of an encoder at rest in a training. Its prepared items are the features; it has no weights."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.takes = encoder.takes
        self.width = encoder.width

    def forward(self, batch: Tensor) -> Tensor:
        return batch


def as_features(
    data: TrainingData, encoder: Encoder, device: torch.device, scratch: Path, progress: Progress
) -> TrainingData:
    """The same data, its items as features: of the items as they are, without augmentation.

    Args:
        device: to encode on.
        scratch: folder for the features.
    """
    encoder.eval().to(device)
    progress.start("encoding items once", len(data.items) + (0 if data.align is None else len(data.align.items)))
    items = _kept(data.items, encoder, device, scratch, progress)
    align = data.align
    if align is not None:
        align = replace(align, items=_kept(align.items, encoder, device, scratch, progress))
    encoder.cpu()
    return replace(data, items=items, align=align)


def encoded(
    items: Prepared, rows: Tensor, encoder: Encoder, progress: Progress, device: torch.device = torch.device("cpu")
) -> Iterator[Tensor]:
    """Features of these rows, as they are, (n, F) f32 on the CPU at a time."""
    for some in torch.split(rows, ITEMS_AT_ONCE):
        with torch.inference_mode():
            features = encoder(items.batch(some).to(device)).float().cpu()
        progress.advance(len(some))
        yield features


def _kept(items: Prepared, encoder: Encoder, device: torch.device, scratch: Path, progress: Progress) -> Prepared:
    path = scratch / f"{uuid4().hex}.features"
    features = np.memmap(path, dtype=np.float32, mode="w+", shape=(len(items), encoder.width))
    start = 0
    for some in encoded(items, torch.arange(len(items)), encoder, progress, device):
        features[start : start + len(some)] = some.numpy()
        start += len(some)
    return Prepared(features)
