"""Tell each item's stored vector from those of the other items of the batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

SameClass = Literal["zero", "inf"]


def stored_information(
    new: Tensor, old: Tensor, labels: Tensor, has_old: Tensor, *, scale: float, same_class: SameClass
) -> Tensor:
    """iNCE = mean_i( -S_ii + logsumexp_j S_ij ), S = scale F_old F_new^T, over the items with a stored vector.

    Args:
        new: (B, d) new embeddings in the old space, L2-normalised.
        old: (B, d) stored vectors, L2-normalised.
        labels: (B,) int64.
        has_old: (B,) bool; items without a stored vector have neither a row nor a column in S.
        scale: mu, > 0.
        same_class: how pairs of one class enter the sum over j. With `zero`, as in the authors' code, their S_ij is 0,
            also that of the item's own pair; each adds exp(0) = 1, and the loss may be below 0. With `inf`, they are
            left out, except the item's own pair; the loss is then a cross-entropy.

    Returns:
        Scalar; 0 when no item has a stored vector.

    Source: Biondi et al. 2024, arXiv 2405.02581, eq. 4, and its code.
    """
    if not bool(has_old.any()):
        return new.sum() * 0.0
    similar = scale * old[has_old] @ new[has_old].T
    own = similar.diagonal()
    known = labels[has_old]
    same = known[:, None] == known[None, :]
    if same_class == "zero":
        others = similar.masked_fill(same, 0.0)
    else:
        diagonal = torch.eye(len(known), dtype=torch.bool, device=same.device)
        others = similar.masked_fill(same & ~diagonal, -torch.inf)
    return (others.logsumexp(dim=1) - own).mean()
