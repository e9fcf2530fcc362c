"""Reduced-rank ridge regression: a linear map through few dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch

from skipfill.compat.methods.adapters.adapter import Adapter, linear_map
from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.methods.adapters.ridge import ridge_weight
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.settings import WIDEST, Range

RANKS = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Settings:
    """Attributes:
    rank: of the map; 0 to choose by held-out retrieval.
    penalty: as in `ridge`.
    """

    rank: Annotated[int, Range(0, WIDEST)] = 0
    penalty: Annotated[float, Range(1e-6, 1e6)] = 0.1


class LowRank(Adapter):
    """The ridge map B, restricted to the r directions of the old space that it explains best: W = B Q Q^T.

    Q holds the first r eigenvectors of B^T (C + penalty t I) B, which is the best map of rank r under the same loss.

    Source: Izenman 1975, "Reduced-rank regression for the multivariate linear model"; Mukherjee and Zhu 2011 for the
    penalty. The low-rank adapter of Drift-Adapter (arXiv 2509.23471) has rank 64.
    """

    summary = "least squares through few dimensions, their number chosen by held-out retrieval"
    source = "Izenman 1975; Mukherjee and Zhu 2011"
    settings_type = Settings

    @classmethod
    def choices(cls, settings: Settings, dim_new: int, dim_old: int) -> list[Settings]:
        if settings.rank:
            return [settings]
        ranks = [rank for rank in RANKS if rank < min(dim_new, dim_old)]
        return [replace(settings, rank=rank) for rank in ranks or [min(dim_new, dim_old)]]

    @classmethod
    def fit(cls, pairs: Pairs, settings: Settings, seed: int) -> LinearMap:
        weight = ridge_weight(pairs.sums, settings.penalty)
        explained = pairs.sums.cross_covariance.T @ weight
        _, directions = torch.linalg.eigh((explained + explained.T) / 2)
        kept = directions[:, -settings.rank :]
        return linear_map(weight @ kept @ kept.T, pairs.sums.mean_new, pairs.sums.mean_old)
