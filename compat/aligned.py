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
SPARED, MOST_SPARED = 0.1, 1_000  # enough to read one number off


def read_aligned(
    items: Items, joined: Joined, encoder: Encoder, scratch: Path, stages: Stages, *, spares: bool, seed: int
) -> Aligned:
    """Those of the items that the gallery stores.

    Args:
        scratch: folder for the decoded items.
        spares: whether a tenth of them, at most 1,000, is spared from training.
        seed: of their order.
    """
    stages.start("reading unlabelled items", len(items))
    prepared = prepare_items(items, encoder, scratch, stages.advance)
    found = joined.align_found.nonzero().flatten()
    found = found[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))]
    spare = min(int(SPARED * len(found)), MOST_SPARED) if spares else 0
    chosen = Prepared(prepared.items[found.numpy()])
    return Aligned(joined.align_old[found], joined.align_known[found], spare, chosen)


def remembered(aligned: Aligned, encoder: Encoder, stages: Stages) -> Remembered:
    """As many of the items as a memory holds, as the trained encoder sees them: all that were spared, and others."""
    count = len(aligned.items)
    chosen = torch.cat([aligned.trained[: MOST - aligned.spare], torch.arange(count - aligned.spare, count)])
    stages.start("encoding unlabelled items", len(chosen))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(chosen), ITEMS_AT_ONCE):
            rows = chosen[start : start + ITEMS_AT_ONCE]
            parts.append(encoder(aligned.items.batch(rows)).float())
            stages.advance(len(rows))
    return Remembered(aligned.old[chosen], aligned.known[chosen], aligned.spare, torch.cat(parts))
