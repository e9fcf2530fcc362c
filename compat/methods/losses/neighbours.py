"""Neighbourhood component analysis against rows stored in the gallery."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def stored_neighbours(
    views: Tensor, own: Tensor, stand_for: Tensor, rows: Tensor, same_class: Tensor, *, tau: float
) -> Tensor:
    """-log( P / (P + N) ): P the sum of exp(z.g / tau) over the stored rows of the item's class, N over all others.

    Both are estimated from few rows, without bias: P from rows drawn from the item's class, of which a uniform sample
    of the gallery may hold none, and N from the rows of other classes in such a sample.

    Args:
        views: (B, d) new embeddings z in the old space, L2-normalised.
        own: (B, K, d) stored rows of each item's class, L2-normalised.
        stand_for: (B, K) how many rows of the gallery each of these stands for, in units of what a row of the sample
            does; 0 for a row that does not count.
        rows: (S, d) uniform sample of the stored rows, L2-normalised.
        same_class: (B, S) bool, whether a row of the sample is of the item's class, and so no other. Rows of no
            training class are never left out: they only repel.
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
    # Not -inf: of an item whose class has the whole sample, the gradient would not be a number.
    far = (views @ rows.T / tau).masked_fill(same_class, torch.finfo(views.dtype).min)
    return softplus(far.logsumexp(dim=1) - near.logsumexp(dim=1)).mean()
