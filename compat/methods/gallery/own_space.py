"""The coordinates of an embedding beside its view of an old space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skipfill.compat.nn.normalize import unit
from skipfill.compat.nn.principal_axes import principal_axes

TELLING, LOOKS = 0.7, 0.3  # shares of h and of a in the squared length of m
SOME = 1e-6  # share of the largest variance; smaller ones are rounding


class OwnSpace(nn.Module):
    """o(x) = n( V^T (m(x) - mean m) ),  m = [ sqrt(.7) n(h) ; sqrt(.3) a ],  a = n( L^-1/4 W^T (n(f) - mean n(f)) ).

    h is the classifier's input, which tells the training classes apart. It says little about other classes: the
    features f say more than any layer trained on the training classes. So a holds f in its 2 e largest principal
    directions W, with variances L. V, the e largest principal directions of m, fits both into e coordinates. Before
    `learn`, o is n(h[-e:]).

    Args:
        features: F.
        hidden: dimension of h.
        dim: e.
    """

    middle: Tensor
    looks: Tensor
    middle_of_both: Tensor
    mixed: Tensor

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__()
        kept = min(features, 2 * dim)
        self.register_buffer("middle", torch.zeros(features))
        self.register_buffer("looks", torch.zeros(features, kept))
        self.register_buffer("middle_of_both", torch.zeros(hidden + kept))
        mixed = torch.zeros(hidden + kept, dim)
        mixed[hidden - dim : hidden].fill_diagonal_(1)
        self.register_buffer("mixed", mixed)

    def learn(self, features: Tensor, hidden: Tensor) -> None:
        """Find the means and the principal directions.

        Args:
            features: (N, F) features of training items without augmentation.
            hidden: (N, H) h of the same items.
        """
        where = self.middle.device
        self.middle = unit(features).mean(dim=0).to(where)
        variances, directions = principal_axes(unit(features) - self.middle, self.looks.shape[1])
        # With few items, or features that are never active, some directions vary only by rounding: noise.
        varies = variances > SOME * variances[-1]
        self.looks = (directions * torch.where(varies, variances, torch.inf) ** -0.25).to(where)
        both = self._both(features, hidden)
        self.middle_of_both = both.mean(dim=0).to(where)
        self.mixed = principal_axes(both - self.middle_of_both, self.mixed.shape[1])[1].to(where)

    def forward(self, features: Tensor, hidden: Tensor) -> Tensor:
        """(N, F) features and (N, H) h -> (N, e) o, L2-normalised; zeros for an item at the mean."""
        return unit((self._both(features, hidden) - self.middle_of_both) @ self.mixed)

    def _both(self, features: Tensor, hidden: Tensor) -> Tensor:
        looks = unit((unit(features) - self.middle) @ self.looks)
        return torch.cat([TELLING**0.5 * unit(hidden), LOOKS**0.5 * looks], dim=1)
