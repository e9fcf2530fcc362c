"""Contrast an item's own stored vector with the hardest pairs of other classes, stored and new."""

from __future__ import annotations

import torch
from torch import Tensor


def refresh_contrast(
    compat: Tensor, old: Tensor, labels: Tensor, has_old: Tensor, *, tau: float, hardest: int
) -> Tensor:
    """-log( e(z_i.g_i) / ( e(z_i.g_i) + sum_{j in N_o} e(z_i.g_j) + sum_{j in N_n} e(z_i.z_j) ) ), e(s) = exp(s / tau).

    N_o and N_n are the `hardest` items of other classes whose stored vector g_j, or new one z_j, is nearest to z_i.

    Args:
        compat: (B, d) z, new embeddings in the old space, L2-normalised.
        old: (B, d) g, stored vectors, L2-normalised.
        labels: (B,) int64.
        has_old: (B,) bool; items without a stored vector serve as new negatives only.
        tau: temperature, > 0.
        hardest: size of each of the two sets; smaller if the batch has fewer such items.

    Returns:
        Scalar mean over the items with a stored vector; 0 when there is none, or no other class.

    Source: Zhang et al. 2022, arXiv 2201.09724; ten of each kind is the authors' code.
    """
    same = labels[:, None] == labels[None, :]
    stored = (compat @ old.T).masked_fill(same | ~has_old[None, :], -torch.inf)
    new = (compat @ compat.T).masked_fill(same, -torch.inf)
    most = min(hardest, len(labels))
    own = (compat * old).sum(dim=1, keepdim=True)
    logits = torch.cat([own, stored.topk(most).values, new.topk(most).values], dim=1) / tau
    losses = logits.logsumexp(dim=1) - logits[:, 0]
    return (losses * has_old).sum() / has_old.sum().clamp(min=1)
