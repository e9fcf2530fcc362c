"""Items as features of an encoder at rest: each is encoded once, and not in every epoch again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.drawing import TrainingData
from skipfill.compat.encoder import Encoder
from skipfill.compat.prepared import Prepared
from skipfill.compat.stages import Stages

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
    data: TrainingData, encoder: Encoder, device: torch.device, scratch: Path, stages: Stages
) -> TrainingData:
    """The same data, its items as features: of the items as they are, without augmentation.

    Args:
        device: to encode on.
        scratch: folder for the features.
    """
    encoder.eval().to(device)
    stages.start("encoding items once", len(data.items) + (0 if data.align is None else len(data.align.items)))
    items = _features(data.items, encoder, device, scratch, stages)
    align = data.align
    if align is not None:
        align = replace(align, items=_features(align.items, encoder, device, scratch, stages))
    encoder.cpu()
    return replace(data, items=items, align=align)


def _features(items: Prepared, encoder: Encoder, device: torch.device, scratch: Path, stages: Stages) -> Prepared:
    path = scratch / f"{uuid4().hex}.features"
    features = np.memmap(path, dtype=np.float32, mode="w+", shape=(len(items), encoder.width))
    with torch.inference_mode():
        for start in range(0, len(items), ITEMS_AT_ONCE):
            rows = torch.arange(start, min(start + ITEMS_AT_ONCE, len(items)))
            features[start : start + len(rows)] = encoder(items.batch(rows).to(device)).float().cpu().numpy()
            stages.advance(len(rows))
    return Prepared(features)
