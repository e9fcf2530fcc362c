"""Unlabelled items of the gallery, some to train on; and items that are remembered."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared, prepare_items
from skipfill.compat.methods.batch import UnlabelledFeatures
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.feature_cache import encoded
from skipfill.compat.training.data.gallery_join import GalleryJoin
from skipfill.compat.training.data.training_data import TrainingData, UnlabelledItems
from skipfill.store.parquet.items import Items


def read_aligned(
    items: Items, joined: GalleryJoin, encoder: Encoder, scratch: Path, progress: Progress, *, seed: int
) -> UnlabelledItems:
    """Those of the items that the gallery stores.

    Args:
        scratch: folder for the decoded items.
        seed: of their order.
    """
    progress.start("reading unlabelled items", len(items))
    prepared = prepare_items(items, encoder, scratch, progress.advance)
    found = joined.align_found.nonzero().flatten()
    found = found[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))]
    chosen = Prepared(prepared.items[found.numpy()])
    return UnlabelledItems(joined.align_old[found], joined.align_labels[found], chosen)


def remembered(aligned: UnlabelledItems, encoder: Encoder, most: int, progress: Progress) -> UnlabelledFeatures:
    """At most `most` of the items, as the trained encoder sees them."""
    some = aligned.first(most)
    progress.start("encoding unlabelled items", len(some.items))
    features = encoded(some.items, torch.arange(len(some.items)), encoder, progress)
    return UnlabelledFeatures(some.old, some.labels, torch.cat(list(features)))


def some_trained(data: TrainingData, encoder: Encoder, most: int, progress: Progress) -> Tensor:
    """(N, F) features of at most `most` training items, any of them."""
    shuffled = torch.randperm(len(data.trained), generator=torch.Generator().manual_seed(0))
    rows = data.trained[shuffled[:most]]
    progress.start("encoding training items", len(rows))
    return torch.cat(list(encoded(data.items, rows, encoder, progress)))
