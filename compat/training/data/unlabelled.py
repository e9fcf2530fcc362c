"""Decodes unlabelled items of the gallery for training, and encodes them for the memory of the head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared, prepare_items
from skipfill.compat.methods.batch import UnlabelledFeatures
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.feature_cache import encoded
from skipfill.compat.training.data.gallery_join import StoredItems
from skipfill.compat.training.data.training_data import TrainingData, UnlabelledItems
from skipfill.store.parquet.items import Items


def read_unlabelled(
    items: Items, stored: StoredItems, encoder: Encoder, scratch: Path, progress: Progress, *, seed: int
) -> UnlabelledItems:
    """Decode the items and keep those that the gallery stores, in random order.

    Args:
        stored: the gallery's rows of the items.
        scratch: folder for the decoded items.
        seed: seed of their order.
    """
    progress.start("reading unlabelled items", len(items))
    prepared = prepare_items(items, encoder, scratch, progress.advance)
    rows = stored.present.nonzero().flatten()
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    return UnlabelledItems(stored.vectors[rows], stored.labels[rows], Prepared(prepared.items[rows.numpy()]))


def remembered(aligned: UnlabelledItems, encoder: Encoder, most: int, progress: Progress) -> UnlabelledFeatures:
    """Features of at most `most` of the items, by the trained encoder."""
    first = aligned.first(most)
    progress.start("encoding unlabelled items", len(first.items))
    features = encoded(first.items, torch.arange(len(first.items)), encoder, progress)
    return UnlabelledFeatures(first.old, first.labels, torch.cat(list(features)))


def some_trained(data: TrainingData, encoder: Encoder, most: int, progress: Progress) -> Tensor:
    """(N, F) features, by the trained encoder, of at most `most` training items, drawn at random."""
    shuffled = torch.randperm(len(data.trained), generator=torch.Generator().manual_seed(0))
    rows = data.trained[shuffled[:most]]
    progress.start("encoding training items", len(rows))
    return torch.cat(list(encoded(data.items, rows, encoder, progress)))
