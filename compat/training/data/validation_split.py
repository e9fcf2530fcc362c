"""Holds out items to choose the epoch by."""

from __future__ import annotations

import torch
from torch import Tensor

from skipfill.store.errors import BadInput, Parameter


def split_validation(labels: Tensor, share: float, seed: int, fewest: int = 1) -> Tensor | None:
    """Hold out a share of the items, spread over the classes as the items are. Each class keeps at least one item.

    Args:
        labels: (N,) int64.
        share: in [0, 1).
        fewest: items that must be held out.

    Returns:
        Sorted positions of the items held out; None for a share of 0.

    Raises:
        BadInput: the share holds out fewer than `fewest`, or more than the classes can spare.
    """
    if not share:
        return None
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    first = torch.ones(len(labels), dtype=torch.bool)
    first[1:] = labels[by_class][1:] != labels[by_class][:-1]
    candidates, wanted = by_class[~first], round(share * len(labels))
    if not fewest <= wanted <= len(candidates):
        raise BadInput(
            Parameter("validation"),
            expected=f"a share of the {len(labels)} items that holds {fewest} to {len(candidates)} of them out, "
            "and leaves one of each class",
            found=f"{share:g}, which is {wanted} items",
        )
    return candidates[torch.linspace(0, len(candidates) - 1, wanted).round().long()].sort().values
