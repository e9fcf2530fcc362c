"""What a bundle remembers of the gallery: stored rows, and some items with what is stored for them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skipfill.compat.method import Remembered, StoredSample, unit

MOST = 8_192  # rows, and items: of 128 coordinates, and of up to 256 + 128
DIRECTIONS = 256  # of the features of items, which may have ten times as many
# Temperatures as shares of the mean distance of two remembered points.
AMONG_ROWS, AMONG_ITEMS, NEAREST = 0.02, 0.01, 0.002
TRUSTS = [0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0]
FEWEST, ASKED = 200, 2_048  # labelled items that the trust is read off; fewer cannot tell
SAME = 1e-6  # two stored vectors at most that far apart are one


class Points(nn.Module):
    """M points on a sphere, each of a known class or not: how familiar is what lies among them?

    The familiarity of x is min(1, 2 a / (a + b)), a the mean of exp(x.k / tau) over known points k, and b over the
    others: a ratio of densities, so that it is 1 where only some of the rows of a known class were labelled. 0 is for
    what lies among points of no known class.
    """

    keys: Tensor
    known: Tensor
    spread: Tensor

    def __init__(self, points: int, dim: int, near: float = AMONG_ROWS) -> None:
        super().__init__()
        self.near = near
        self.register_buffer("keys", torch.zeros(points, dim))
        self.register_buffer("known", torch.ones(points, dtype=torch.bool))
        self.register_buffer("spread", torch.ones(()))

    def hold(self, keys: Tensor, known: Tensor) -> None:
        """Take (M, K) L2-normalised keys and whether each is known (M,)."""
        mean = keys.mean(dim=0)
        where = self.spread.device
        self.keys, self.known = keys.to(where, copy=True), known.to(where, copy=True)
        self.spread.fill_(max(float(1 - mean @ mean), 1e-4))

    def familiar(self, cosines: Tensor) -> Tensor:
        """(N, M) cosines with the keys -> (N, 1) in [0, 1]; 1 while the points are all known, or none is."""
        known = int(self.known.sum())
        if known in (0, len(self.known)):
            return cosines.new_ones(len(cosines), 1)
        logits = cosines / (self.near * self.spread)
        near = logits.masked_fill(~self.known, -torch.inf).logsumexp(dim=1, keepdim=True)
        strange = logits.masked_fill(self.known, -torch.inf).logsumexp(dim=1, keepdim=True)
        balance = math.log((len(self.known) - known) / known)
        return (2 * (near - strange + balance).sigmoid()).clamp(max=1)


class Memory(Points):
    """Items of the gallery by their features, and k(x) = n( sum_j softmax_j(x.x_j / tau) g_j ) of what is stored.

    A kernel regression (Nadaraya 1964, Watson 1964), so sharp that it is nearly the stored vector of the one item that
    the new encoder finds most alike. It knows what no imitation of the old encoder does: where the rows of items are
    that the new model sees to be of a kind, and the old one saw among others.
    """

    directions: Tensor
    stored: Tensor
    trust: Tensor

    def __init__(self, points: int, features: int, view: int) -> None:
        kept = min(features, DIRECTIONS)
        super().__init__(points, kept, AMONG_ITEMS)
        self.register_buffer("directions", torch.eye(features, kept))
        self.register_buffer("stored", torch.zeros(points, view))
        self.register_buffer("trust", torch.zeros(()))

    def learn(self, items: Remembered, rows: StoredSample) -> None:
        """Hold the items, at most `MOST`, and find out how far to trust what is stored for others like them.

        Args:
            rows: stored rows, by whose labels the trust is chosen.
        """
        features = unit(items.features)
        # The principal directions, not centred, for cosines are not.
        self.directions = torch.linalg.eigh(features.T @ features).eigenvectors[:, -self.directions.shape[1] :]
        self.hold(self.keys_of(features), items.labels >= 0)
        self.stored = items.old.to(self.trust.device, copy=True)
        self.trust.fill_(self._best_trust(items, rows))

    def keys_of(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, K) L2-normalised: the features in their principal directions."""
        return unit(features @ self.directions)

    def recalled(self, cosines: Tensor) -> Tensor:
        """k, (N, d), by (N, M) cosines with the keys."""
        return unit((cosines / (NEAREST * self.spread)).softmax(dim=1) @ self.stored)

    def _best_trust(self, items: Remembered, rows: StoredSample) -> float:
        """The a for which g + a k finds rows of its item's class most often; the larger of two that are as good.

        k is that of the other items, and the own row, and any equal one, is left out. g is what u imitates. Were u
        itself looked at, on items that it was trained on, it would seem better than it is; and were items spared for
        this, they would be too few to tell. Items of no known class have no say. 0 where too few are left.
        """
        asked = (items.labels >= 0).nonzero().flatten()[:ASKED]
        if len(asked) < FEWEST:
            return 0.0
        cosines = self.keys[asked] @ self.keys.T
        cosines[torch.arange(len(asked)), asked] = -torch.inf
        known, own = items.labels[asked], items.old[asked]
        recalled, hits = self.recalled(cosines), []
        itself = own @ rows.vectors.T > 1 - SAME
        for trust in TRUSTS:
            found = (unit(own + trust * recalled) @ rows.vectors.T).masked_fill(itself, -torch.inf).argmax(dim=1)
            hits.append(int((rows.labels[found] == known).sum()))
        return max(zip(hits, TRUSTS, strict=True))[1]
