"""Encodes items once with a frozen encoder, so that training does not encode them in every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.store.storage.scratch_array import scratch_array

ITEMS_AT_ONCE = 256


class Features(Encoder):
    """Stand-in for a frozen encoder. Its prepared items are features already, and it has no weights."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.takes = encoder.takes
        self.width = encoder.width

    def forward(self, batch: Tensor) -> Tensor:
        return batch


def as_features(
    data: TrainingData, encoder: Encoder, device: torch.device, scratch: Path, progress: Progress
) -> TrainingData:
    """The same data with features in place of its items, encoded without augmentation.

    Args:
        encoder: moved to the device, set to evaluation mode, and moved back to the CPU.
        scratch: folder for the features.
    """
    encoder.eval().to(device)
    progress.start(
        "encoding items once", len(data.items) + (0 if data.unlabelled is None else len(data.unlabelled.items))
    )
    items = _cached(data.items, encoder, device, scratch, progress)
    unlabelled = data.unlabelled
    if unlabelled is not None:
        unlabelled = replace(unlabelled, items=_cached(unlabelled.items, encoder, device, scratch, progress))
    encoder.cpu()
    return replace(data, items=items, unlabelled=unlabelled)


def encoded(
    items: Prepared, rows: Tensor, encoder: Encoder, progress: Progress, device: torch.device = torch.device("cpu")
) -> Iterator[Tensor]:
    """Encode the items of these rows without augmentation.

    Yields:
        (n, F) float32 features on the CPU, of at most 256 items at a time.
    """
    for batch_rows in torch.split(rows, ITEMS_AT_ONCE):
        with torch.inference_mode():
            features = encoder(items.batch(batch_rows).to(device)).float().cpu()
        progress.advance(len(batch_rows))
        yield features


def _cached(items: Prepared, encoder: Encoder, device: torch.device, scratch: Path, progress: Progress) -> Prepared:
    """The features of all items, in a file."""
    features = scratch_array(scratch, np.float32, (len(items), encoder.width))
    start = 0
    for part in encoded(items, torch.arange(len(items)), encoder, progress, device):
        features[start : start + len(part)] = part.numpy()
        start += len(part)
    return Prepared(features)
