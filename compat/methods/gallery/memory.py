"""The two memories of `ImitatingHead`: points of known and strange classes, and items. The head fills them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skipfill.compat.methods.batch import GallerySample, UnlabelledFeatures
from skipfill.compat.nn.logistic import fit_logistic, log_odds
from skipfill.compat.nn.normalize import unit
from skipfill.compat.nn.principal_axes import principal_axes
from skipfill.compat.nn.selection import simplest_near_best

MOST = 8_192  # most stored rows, and most items, that a head remembers
DIRECTIONS = 256  # principal directions kept of the features of items, which may have ten times as many dimensions
# Temperatures as shares of the mean distance of two remembered points.
AMONG_POINTS, NEAREST = 0.02, 0.002
TRUSTS = [0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 8.0]
FEWEST, ASKED = 200, 2_048  # fewest and most items of known classes to choose the trust by
FOLLOWING = 5  # the most similar item is compared with this many that follow it
SURE = 20.0  # log odds are clipped here
SAME = 1e-6  # two stored vectors closer than this are the same


class DensityRatio(nn.Module):
    """M points on a sphere, each known (of a training class) or strange. Estimates which kind is denser around x.

    The log odds are log(a / b), where a is the mean of exp(x.k / tau) over the known points k, and b over the strange
    ones. They compare densities and not counts, so that they are not below 0 where only some rows of a known class have
    labels.
    """

    keys: Tensor
    known: Tensor
    spread: Tensor

    def __init__(self, points: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(points, dim))
        self.register_buffer("known", torch.ones(points, dtype=torch.bool))
        self.register_buffer("spread", torch.ones(()))

    def hold(self, keys: Tensor, known: Tensor) -> None:
        """Remember M points: (M, K) L2-normalised keys, and (M,) bool, whether each is known."""
        mean = keys.mean(dim=0)
        where = self.spread.device
        self.keys, self.known = keys.to(where, copy=True), known.to(where, copy=True)
        self.spread.fill_(max(float(1 - mean @ mean), 1e-4))

    def log_odds(self, cosines: Tensor) -> Tensor:
        """(N, M) cosines with the keys, -inf for a key to leave out -> (N, 1) log odds, within -20 and 20.

        The log odds are 0 if all points are of one kind.
        """
        known = int(self.known.sum())
        if known in (0, len(self.known)):
            return cosines.new_zeros(len(cosines), 1)
        logits = cosines / (AMONG_POINTS * self.spread)
        near = logits.masked_fill(~self.known, -torch.inf).logsumexp(dim=1, keepdim=True)
        strange = logits.masked_fill(self.known, -torch.inf).logsumexp(dim=1, keepdim=True)
        balance = math.log((len(self.known) - known) / known)
        return (near - strange + balance).nan_to_num(0.0).clamp(-SURE, SURE)


class ItemMemory(DensityRatio):
    """Items of the gallery by their features. Recalls the stored vector of the most similar strange item.

    k(x) = n( sum_j softmax_j(x.x_j / tau) g_j ) over the strange items j, a kernel regression (Nadaraya 1964, Watson
    1964) that is so sharp that it is nearly the stored vector of one item. The imitation cannot learn this vector where
    items that look alike to the new encoder have different neighbours by the old one.

    a(x) = A P(x)^2 is the trust in k. P is the probability that the most similar item is of the class of x, given its
    similarity and its lead over the next ones. A and P are estimated from items of known classes.
    """

    directions: Tensor
    stored: Tensor
    trust: Tensor
    same_class: Tensor

    def __init__(self, points: int, features: int, view: int) -> None:
        kept = min(features, DIRECTIONS)
        super().__init__(points, kept)
        self.register_buffer("directions", torch.zeros(features, kept).fill_diagonal_(1))
        self.register_buffer("stored", torch.zeros(points, view))
        self.register_buffer("trust", torch.zeros(()))
        self.register_buffer("same_class", torch.zeros(3))

    def learn(self, items: UnlabelledFeatures, rows: GallerySample) -> None:
        """Remember the items, and choose how far to trust the stored vector of a similar item.

        Args:
            items: at most `MOST`.
            rows: stored rows, by whose labels the trust is chosen.
        """
        features = unit(items.features)
        # Not centred, because cosines are not.
        self.directions = principal_axes(features, self.directions.shape[1])[1]
        self.hold(self.keys_of(features), items.labels >= 0)
        self.stored = items.old.to(self.trust.device, copy=True)
        self._choose_trust(items.labels, rows)

    def keys_of(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, K) L2-normalised: the features in their principal directions."""
        return unit(features @ self.directions)

    def recalled(self, cosines: Tensor) -> Tensor:
        """a k, (N, d), by (N, M) cosines with the keys; zeros where no item is strange."""
        strange = ~self.known
        if not strange.any():
            return cosines.new_zeros(len(cosines), self.stored.shape[1])
        cosines = cosines[:, strange]
        return self.trust * self._likely(cosines) * self._regression(cosines, strange)

    def cosines_of_others(self, asked: Tensor) -> Tensor:
        """(A,) positions of items -> (A, M) cosines with the keys, -inf for the item's own key."""
        cosines = self.keys[asked] @ self.keys.T
        cosines[torch.arange(len(asked)), asked] = -torch.inf
        return cosines

    def _regression(self, cosines: Tensor, among: Tensor) -> Tensor:
        return unit((cosines / (NEAREST * self.spread)).softmax(dim=1) @ self.stored[among])

    def _likely(self, cosines: Tensor) -> Tensor:
        return log_odds(_standing_out(cosines), self.same_class).sigmoid().square()

    def _choose_trust(self, labels: Tensor, rows: GallerySample) -> None:
        """Choose the smallest A for which g + a(x) k finds rows of the item's class nearly as often as with the best A.

        Nearly means within a standard error (`simplest_near_best`). The smallest such A is taken because items of
        trained classes are more alike to the new encoder than items of other classes, so the estimate is rather high.

        k is taken from the other items of known classes. The item's own row, and any equal row, is left out. The stored
        vector g stands in for the imitation u, which would look too good on the items that it was trained on. Holding
        items back for this would leave too few. A is 0 if there are too few items.
        """
        self.trust.fill_(0.0)
        asked = self.known.nonzero().flatten()[:ASKED]
        if len(asked) < FEWEST:
            return
        cosines = self.cosines_of_others(asked)[:, self.known]
        classes, own = labels[asked], self.stored[asked]
        right = labels[self.known][cosines.argmax(dim=1)] == classes
        if right.all() or not right.any():
            self.same_class = torch.tensor([0.0, 0.0, SURE if right.all() else -SURE]).to(self.keys)
        else:
            self.same_class = fit_logistic(_standing_out(cosines), right)
        recalled = self._likely(cosines) * self._regression(cosines, self.known)
        hits = []
        itself = own @ rows.vectors.T > 1 - SAME
        for trust in TRUSTS:
            found = (unit(own + trust * recalled) @ rows.vectors.T).masked_fill(itself, -torch.inf).argmax(dim=1)
            hits.append((rows.labels[found] == classes).to(own.dtype))
        self.trust.fill_(TRUSTS[simplest_near_best(torch.stack(hits))])


def _standing_out(cosines: Tensor) -> Tensor:
    """(N, M) -> (N, 2): the largest of each row, and by how much it is above the mean of those that follow."""
    best = cosines.topk(min(FOLLOWING + 1, cosines.shape[1]), dim=1).values
    lead = best[:, :1] - best[:, 1:].mean(dim=1, keepdim=True) if best.shape[1] > 1 else torch.zeros_like(best)
    return torch.cat([best[:, :1], lead], dim=1)
