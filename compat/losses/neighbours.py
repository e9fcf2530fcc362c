"""Neighbourhood component analysis against rows stored in the gallery."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from skipfill.compat.gradients import with_gradient
from skipfill.compat.losses.partition import Partition


def stored_neighbours(views: Tensor, own: Tensor, stand_for: Tensor, others: Partition, *, tau: float) -> Tensor:
    """-log( P / (P + N) ): P the sum of exp(z.g / tau) over the stored rows of the item's class, N over all others.

    Both are estimated from few rows, without bias: P from some rows of the very class, of which a uniform sample of the
    gallery holds few or none, and N from the others in such a sample.

    Args:
        views: (B, d) new embeddings in the old space, L2-normalised.
        own: (B, K, d) stored rows of each item's class, L2-normalised.
        stand_for: (B, K) how many rows of the gallery each of these stands for, in units of what a row of the sample
            does; 0 for what is none.
        others: of the views over a uniform sample of the stored rows, those of the item's class left out; of rows of no
            training class there is nothing to leave out: they only repel.
        tau: temperature, > 0, of `others` too.

    Returns:
        Scalar mean over the items that have rows of their class; 0 when none has.

    Source: Goldberger et al. 2004 (NCA), with the neighbours taken from the stored gallery.
    """
    with torch.no_grad():
        usable = (stand_for > 0).any(dim=1)
        weights = stand_for.log().masked_fill_(~usable[:, None], 0.0)  # of -inf alone there is no mean
        # own @ views takes four times as long.
        logits = ((views / tau)[:, None] @ own.transpose(1, 2))[:, 0] + weights
        shares = logits.softmax(dim=1)
        attract = logits.amax(dim=1) - shares.amax(dim=1).log()
        odds = others.log - attract
        share = usable / usable.sum().clamp(min=1)
        towards = (shares[:, None] @ own)[:, 0]
        gradient = (share * odds.sigmoid())[:, None] * (others.slope - towards / tau)
        loss = (share * softplus(odds)).sum()
    return with_gradient(views, loss, gradient)
