"""What a bundle remembers of the gallery: stored rows, and some items with what is stored for them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skipfill.compat.method import Remembered, unit

NEAREST = 0.02  # temperature as a share of the mean distance of two remembered points: the few nearest ones count
MOST = 8_192  # points: of 160 + 128 coordinates, 9 MB
TRUSTS = [step / 10 for step in range(21)]


class Points(nn.Module):
    """M points on a sphere, each of a known class or not: how familiar is what lies among them?

    The familiarity of x is min(1, 2 a / (a + b)), a the mean of exp(x.k / tau) over known points k, and b over the
    others: a ratio of densities, so that it is 1 where only some of the rows of a known class were labelled. 0 is for
    what lies among points of no known class.
    """

    keys: Tensor
    known: Tensor
    tau: Tensor

    def __init__(self, points: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(points, dim))
        self.register_buffer("known", torch.ones(points, dtype=torch.bool))
        self.register_buffer("tau", torch.ones(()))

    def hold(self, keys: Tensor, known: Tensor) -> None:
        """Take (M, K) L2-normalised keys and whether each is known (M,)."""
        mean = keys.mean(dim=0)
        where = self.tau.device
        self.keys, self.known = keys.to(where, copy=True), known.to(where, copy=True)
        self.tau.fill_(max(NEAREST * float(1 - mean @ mean), 1e-6))

    def logits(self, where: Tensor) -> Tensor:
        """(N, K) -> (N, M) cosines over the temperature."""
        return where @ self.keys.T / self.tau

    def familiar(self, logits: Tensor) -> Tensor:
        """(N, 1) in [0, 1]; 1 while the points are all known, or none is."""
        known = int(self.known.sum())
        if known in (0, len(self.known)):
            return logits.new_ones(len(logits), 1)
        near = logits.masked_fill(~self.known, -torch.inf).logsumexp(dim=1, keepdim=True)
        strange = logits.masked_fill(self.known, -torch.inf).logsumexp(dim=1, keepdim=True)
        balance = math.log((len(self.known) - known) / known)
        return (2 * (near - strange + balance).sigmoid()).clamp(max=1)


class Memory(Points):
    """Items of the gallery by their new embeddings, and k(x) = n( sum_j softmax_j(h.h_j / tau) g_j ) of what is stored.

    A kernel regression (Nadaraya 1964, Watson 1964) in the new space beside a parametric imitation u: where the new
    model sees two items alike that the old one saw apart, k knows both places. How far to trust it, a in n(u + a k), is
    read off items that u was not trained on (stacking, Wolpert 1992): 0 where no item has another like it.
    """

    stored: Tensor
    trust: Tensor

    def __init__(self, points: int, dim: int, view: int) -> None:
        super().__init__(points, dim)
        self.register_buffer("stored", torch.zeros(points, view))
        self.register_buffer("trust", torch.zeros(()))

    def learn(self, embeddings: Tensor, imitated: Tensor, items: Remembered) -> None:
        """Hold the items, and find out on the spare ones how far to trust the others.

        Args:
            embeddings: (A, D) L2-normalised, A at most `MOST`.
            imitated: (A, d) u.
        """
        trained = len(items.old) - items.spare
        self._keep(embeddings[:trained], items)
        recalled = self.recalled(self.logits(embeddings[trained:]))
        asked, answer = imitated[trained:], items.old[trained:]
        near = [float((unit(asked + trust * recalled) * answer).sum()) for trust in TRUSTS]
        self._keep(embeddings, items)
        self.trust.fill_(TRUSTS[near.index(max(near))])

    def _keep(self, embeddings: Tensor, items: Remembered) -> None:
        self.hold(embeddings, items.known[: len(embeddings)])
        self.stored = items.old[: len(embeddings)].to(self.tau.device, copy=True)

    def recalled(self, logits: Tensor) -> Tensor:
        """k, (N, d)."""
        return unit(logits.softmax(dim=1) @ self.stored)
