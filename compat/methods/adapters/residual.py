"""The ridge map with a small network that corrects it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from skipfill.compat.methods.adapters.adapter import Adapter
from skipfill.compat.methods.adapters.descent import descend
from skipfill.compat.methods.adapters.pairs import Pairs, PairSample
from skipfill.compat.methods.adapters.ridge import Ridge
from skipfill.compat.methods.adapters.ridge import Settings as RidgeSettings
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.nn.view_maps import LinearMap, ResidualMap
from skipfill.compat.settings import POSITIVE, WIDEST, Range

FEWEST_FOR_A_NETWORK = 10_000
"""Pairs below which published comparisons find that networks gain nothing over linear maps."""


@dataclass(frozen=True)
class Settings:
    """Attributes:
    hidden: H, width of the network.
    penalty: of the ridge map under it.
    epochs: passes over the pairs in memory.
    lr: learning rate at the start; it falls to 0 along a cosine.
    """

    hidden: Annotated[int, Range(1, WIDEST)] = 256
    penalty: Annotated[float, Range(1e-6, 1e6)] = 0.1
    epochs: Annotated[int, Range(1, 10_000)] = 20
    lr: Annotated[float, POSITIVE] = 1e-3


class Residual(Adapter):
    """u -> n(u W^T + b + V relu(U u + c)): ridge, and a network trained with 1 - cos to the stored vectors.

    The network starts at zero and the ridge map stays as it is.

    Source: the residual adapter of Drift-Adapter, arXiv 2509.23471, on a ridge map in place of the identity.
    """

    summary = "the ridge map corrected by a small network, for 10,000 pairs or more"
    source = "Drift-Adapter 2025, 2509.23471, on a ridge map"
    settings_type = Settings

    @classmethod
    def fewest_pairs(cls, dim_new: int, dim_old: int) -> int:
        return FEWEST_FOR_A_NETWORK

    @classmethod
    def fit(cls, pairs: Pairs, settings: Settings, seed: int) -> LinearMap:
        linear = Ridge.fit(pairs, RidgeSettings(settings.penalty), seed)
        dim_old, dim_new = linear.weight.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fitted = ResidualMap(dim_new, dim_old, settings.hidden)
        fitted.weight.data, fitted.bias.data = linear.weight.data, linear.bias.data
        fitted.outer.weight.data.zero_()
        network = [*fitted.inner.parameters(), *fitted.outer.parameters()]

        def loss(batch: PairSample) -> torch.Tensor:
            return cosine_alignment(fitted(batch.new), batch.old)

        descend(network, loss, pairs.sample, epochs=settings.epochs, lr=settings.lr, seed=seed)
        return fitted
