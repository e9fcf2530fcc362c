"""Base of every closed-form method: a map that is fitted to pairs of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.methods.kind import MethodKind
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.settings import WIDEST_FEATURES, Range

FEWEST = 32  # fewest pairs for any method: held-out retrieval over fewer would tell nothing


@dataclass(frozen=True)
class NoSettings:
    """Settings of a method that has none."""


@dataclass(frozen=True)
class FeatureShape:
    """Size of a head that passes the F features on unchanged."""

    features: Annotated[int, Range(1, WIDEST_FEATURES)]


class Adapter(MethodKind):
    """Base of every closed-form method. The encoder is not changed, and its space is the model's own space.

    New vectors u and stored vectors v of the same items are L2-normalised. A map takes u to n(u W^T + b).

    Class attributes:
        needs_labels: whether the pairs must have classes.
        needs_full_rank: whether few pairs leave parts of the map undetermined. It then needs twice as many pairs as the
            smaller dimension.
        needs_products: whether it is fitted from the products of the new vectors with each other, see `PairSums`.
    """

    needs_labels: ClassVar[bool] = False
    needs_full_rank: ClassVar[bool] = False
    needs_products: ClassVar[bool] = True

    @classmethod
    def head_shape(cls, described: Mapping[str, Any]) -> type[Any]:
        return FeatureShape

    @classmethod
    def build_head(cls, described: dict[str, Any]) -> nn.Module:
        return nn.Identity()

    @classmethod
    def dim_of_head(cls, described: Mapping[str, Any]) -> int:
        return int(described["features"])

    @classmethod
    def tried(cls, adapters: Mapping[str, type[Adapter]]) -> dict[str, type[Adapter]]:
        """The methods that held-out retrieval chooses from, the simplest first; by default only this one."""
        return {name: adapter for name, adapter in adapters.items() if adapter is cls}

    @classmethod
    def fewest_pairs(cls, dim_new: int, dim_old: int) -> int:
        """Fewest pairs at which the map can be trusted, for vectors of D and d dimensions."""
        return 2 * min(dim_new, dim_old) if cls.needs_full_rank else FEWEST

    @classmethod
    def choices(cls, settings: Any, dim_new: int, dim_old: int) -> list[Any]:
        """The settings that held-out retrieval chooses from, the simplest map first and the most flexible last.

        Args:
            settings: as given; a value of 0 means that the value is to be chosen.
        """
        return [settings]

    @classmethod
    def fit(cls, pairs: Pairs, settings: Any, seed: int) -> LinearMap:
        """Fit the map to the pairs.

        Args:
            settings: one of `choices`.
            seed: used by methods that draw at random.
        """
        raise NotImplementedError


def linear_map(weight: Tensor, mean_new: Tensor, mean_old: Tensor) -> LinearMap:
    """The map u -> n((u - mean_new) weight + mean_old), its constant computed in float64.

    Args:
        weight: (D, d) float64.
    """
    fitted = LinearMap(*weight.shape)
    fitted.weight.data = weight.T.to(torch.float32).contiguous()
    fitted.bias.data = (mean_old - mean_new @ weight).to(torch.float32)
    return fitted
