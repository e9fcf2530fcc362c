"""Keep the ranking that a stored vector gives over stored rows."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import kl_div


def ranking_divergence(compat: Tensor, stored: Tensor, rows: Tensor, *, tau: float) -> Tensor:
    """KL( softmax(g.G / tau) || softmax(z.G / tau) ): rows near the stored vector g should be near z as well.

    Args:
        compat: (A, d) new embeddings z in the old space, L2-normalised.
        stored: (A, d) stored vectors g of the same items, L2-normalised.
        rows: (S, d) stored rows G, L2-normalised.
        tau: temperature, > 0.

    Returns:
        Scalar mean over the items.
    """
    new, old = ((vectors @ rows.T / tau).log_softmax(dim=1) for vectors in (compat, stored))
    return kl_div(new, old, reduction="batchmean", log_target=True)
