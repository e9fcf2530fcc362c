"""The temperature that fits a stored space, estimated from the stored rows.

Cosines mean different things in different spaces. Those of two random rows have a standard deviation of 0.2 in one
gallery and of 0.03 in another, and the rows of a class are spread more or less widely. A temperature that separates the
rows of the first gallery cannot tell those of the second apart.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from skipfill.compat.methods.batch import GallerySample, OldSpace
from skipfill.compat.nn.normalize import unit

ROWS, QUERIES = 4_096, 512  # most stored rows that are neighbours, and most rows whose class is predicted
CANDIDATES = [2.0 * 0.8**step for step in range(41)]  # from 2, which tells no rows apart, down to 0.0003


def row_temperature(pool: GallerySample) -> float:
    """The temperature at which stored rows, as neighbours, best predict the class of other stored rows.

    Returns:
        In [0.0003, 2]; 2 when no two rows have a class in common.

    Source: leave-one-out NCA, Goldberger et al. 2004, over one parameter.
    """
    chosen = _shuffled(len(pool.vectors))[:ROWS]
    vectors, labels = pool.vectors[chosen], pool.labels[chosen]
    asked = torch.nonzero(labels >= 0).flatten()[:QUERIES]
    cosines = vectors[asked] @ vectors.T
    cosines[torch.arange(len(asked)), asked] = -torch.inf
    alike = labels[asked, None] == labels
    alike[torch.arange(len(asked)), asked] = False
    found = alike.any(dim=1)
    cosines, alike = cosines[found], alike[found]

    def missed(tau: float) -> float:
        logits = cosines / tau
        return float((logits.logsumexp(dim=1) - logits.masked_fill(~alike, -torch.inf).logsumexp(dim=1)).sum())

    return min(CANDIDATES, key=missed)


def prototype_temperature(old: OldSpace) -> float:
    """The temperature at which class means best predict the class of stored rows, each left out of its own mean."""
    labels = old.pool.labels
    asked = _shuffled(len(labels))
    asked = asked[labels[asked] >= 0]
    asked = asked[old.counts[labels[asked]] > 1][:QUERIES]
    if len(asked) == 0:
        return CANDIDATES[0]
    vectors, labels = old.pool.vectors[asked], labels[asked]
    cosines = vectors @ unit(old.prototypes).T
    others = unit(old.prototypes[labels] * old.counts[labels, None] - vectors)
    cosines[torch.arange(len(asked)), labels] = (vectors * others).sum(dim=1)
    slots = (old.present.cumsum(0) - 1)[labels]
    return min(CANDIDATES, key=lambda tau: float(cross_entropy(cosines[:, old.present] / tau, slots)))


def spread(pool: GallerySample) -> float:
    """The mean of 1 - cos over two random stored rows, in (0, 2]: how far apart rows of this space are."""
    mean = pool.vectors.mean(dim=0)
    return max(float(1 - mean @ mean), 1e-6)


def _shuffled(count: int) -> torch.Tensor:
    """Positions in a random order, the same in every call."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))
