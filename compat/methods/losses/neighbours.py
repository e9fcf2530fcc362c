"""Neighbourhood component analysis against rows stored in the gallery."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def stored_neighbours(
    views: Tensor, own: Tensor, stand_for: Tensor, rows: Tensor, same_class: Tensor, *, tau: float
) -> Tensor:
    """-log( P / (P + N) ): P the sum of exp(z.g / tau) over the stored rows of the item's class, N over all others.

    Both are estimated from few rows, without bias. P comes from rows drawn from the item's class, because a uniform
    sample of the gallery may hold none of them. N comes from the rows of other classes in a uniform sample.

    Args:
        views: (B, d) new embeddings z in the old space, L2-normalised.
        own: (B, K, d) stored rows of each item's class, L2-normalised.
        stand_for: (B, K) how many rows of the gallery each of these stands for, as a multiple of those that a row of
            the sample stands for; 0 for a row that does not count.
        rows: (S, d) uniform sample of the stored rows, L2-normalised.
        same_class: (B, S) bool, whether a row of the sample is of the item's class; such rows are not in N. Rows of no
            training class are always in N: they only repel.
        tau: temperature, > 0.

    Returns:
        Scalar mean over the items that have rows of their class; 0 when none has.

    Source: Goldberger et al. 2004 (NCA), with the neighbours taken from the stored gallery.
    """
    usable = (stand_for > 0).any(dim=1)
    if not usable.any():
        return views.sum() * 0.0
    views, own, stand_for, same_class = views[usable], own[usable], stand_for[usable], same_class[usable]
    near = (own @ views[:, :, None])[:, :, 0] / tau + stand_for.log()
    # Not -inf: for an item whose class fills the whole sample, the gradient would be NaN.
    far = (views @ rows.T / tau).masked_fill(same_class, torch.finfo(views.dtype).min)
    return softplus(far.logsumexp(dim=1) - near.logsumexp(dim=1)).mean()
