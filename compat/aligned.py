"""Unlabelled items of the gallery: some to train on, and some to remember."""

from __future__ import annotations

from pathlib import Path

import torch

from skipfill.compat.drawing import Aligned
from skipfill.compat.encoder import Encoder
from skipfill.compat.joined import Joined
from skipfill.compat.memory import MOST
from skipfill.compat.method import Remembered
from skipfill.compat.prepared import Prepared, prepare_items
from skipfill.compat.stages import Stages
from skipfill.store.items import Items

ITEMS_AT_ONCE = 256


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
    count = min(len(aligned.items), MOST)
    stages.start("encoding unlabelled items", count)
    parts = []
    with torch.inference_mode():
        for start in range(0, count, ITEMS_AT_ONCE):
            rows = torch.arange(start, min(start + ITEMS_AT_ONCE, count))
            parts.append(encoder(aligned.items.batch(rows)).float())
            stages.advance(len(rows))
    return Remembered(aligned.old[:count], aligned.labels[:count], torch.cat(parts))
