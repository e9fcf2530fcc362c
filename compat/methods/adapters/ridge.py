"""Ridge regression of the stored vectors on the new ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from skipfill.compat.methods.adapters.adapter import Adapter, linear_map
from skipfill.compat.methods.adapters.pairs import Pairs, PairSums
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.settings import Range

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
LEAST_PENALTY = 1e-8
"""Below it, rounding of the sums decides how the map treats directions in which the pairs do not differ."""


@dataclass(frozen=True)
class Settings:
    """Attributes:
    penalty: on squared weights, as a multiple of the mean variance of a coordinate; 0 to choose by held-out retrieval.
    One below 1e-8 acts as 1e-8.
    """

    penalty: Annotated[float, Range(0.0, 1e6)] = 0.0


def ridge_weight(sums: PairSums, penalty: float) -> Tensor:
    """(D, d) (C + penalty t I)^-1 X, from the covariance C, its mean diagonal t, and the cross-covariance X."""
    covariance = sums.covariance
    strength = max(penalty, LEAST_PENALTY) * float(covariance.diagonal().mean())
    covariance.diagonal().add_(strength)
    return torch.cholesky_solve(sums.cross_covariance, torch.linalg.cholesky(covariance))


class Ridge(Adapter):
    """W = (C + penalty t I)^-1 X with intercept: u -> n((u - mean u) W + mean v).

    Least squares with a penalty on the weights, as in Hoerl and Kennard 1970; the penalty is in units of the mean
    variance t of a coordinate of the new vectors, and chosen by held-out retrieval.
    """

    summary = "least squares with intercept, its penalty chosen by held-out retrieval"
    source = "Hoerl and Kennard 1970"
    settings_type = Settings

    @classmethod
    def choices(cls, settings: Settings, dim_new: int, dim_old: int) -> list[Settings]:
        return [settings] if settings.penalty else [replace(settings, penalty=one) for one in PENALTIES]

    @classmethod
    def fit(cls, pairs: Pairs, settings: Settings, seed: int) -> LinearMap:
        weight = ridge_weight(pairs.sums, settings.penalty)
        return linear_map(weight, pairs.sums.mean_new, pairs.sums.mean_old)
