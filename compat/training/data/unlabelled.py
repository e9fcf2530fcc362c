"""Unlabelled items of the gallery, some to train on; and items that are remembered."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared, prepare_items
from skipfill.compat.methods.batch import Remembered
from skipfill.compat.methods.gallery.memory import MOST
from skipfill.compat.progress import Stages
from skipfill.compat.training.data.feature_cache import encoded
from skipfill.compat.training.data.gallery_join import Joined
from skipfill.compat.training.data.training_data import Aligned, TrainingData
from skipfill.store.parquet.items import Items


def read_aligned(
    items: Items, joined: Joined, encoder: Encoder, scratch: Path, stages: Stages, *, seed: int
) -> Aligned:
    """Those of the items that the gallery stores.

    Args:
        scratch: folder for the decoded items.
        seed: of their order.
    """
    stages.start("reading unlabelled items", len(items))
    prepared = prepare_items(items, encoder, scratch, stages.advance)
    found = joined.align_found.nonzero().flatten()
    found = found[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))]
    chosen = Prepared(prepared.items[found.numpy()])
    return Aligned(joined.align_old[found], joined.align_labels[found], chosen)


def remembered(aligned: Aligned, encoder: Encoder, stages: Stages) -> Remembered:
    """As many of the items as a memory holds, as the trained encoder sees them."""
    some = aligned.first(MOST)
    stages.start("encoding unlabelled items", len(some.items))
    features = encoded(some.items, torch.arange(len(some.items)), encoder, stages)
    return Remembered(some.old, some.labels, torch.cat(list(features)))


def some_trained(data: TrainingData, encoder: Encoder, stages: Stages) -> Tensor:
    """(N, F) features of as many training items, any of them."""
    shuffled = torch.randperm(len(data.trained), generator=torch.Generator().manual_seed(0))
    rows = data.trained[shuffled[:MOST]]
    stages.start("encoding training items", len(rows))
    return torch.cat(list(encoded(data.items, rows, encoder, stages)))
