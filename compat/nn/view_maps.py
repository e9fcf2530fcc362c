"""Maps of a model's own space onto an earlier space, as they are kept in a bundle: linear, or with a small network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skipfill.compat.nn.normalize import unit


class LinearMap(nn.Module):
    """unit(x W^T + b): (N, D) -> (N, d).

    Attributes:
        weight: (d, D) float32.
        bias: (d,) float32.
    """

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim_out, dim_in), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(dim_out), requires_grad=False)

    def mapped(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, d), not normalised."""
        return nn.functional.linear(vectors, self.weight, self.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, d), L2-normalised."""
        return unit(self.mapped(vectors))

    def describe(self) -> dict[str, Any]:
        """JSON values from which `build_map` makes a map of these sizes."""
        dim_out, dim_in = self.weight.shape
        return {"kind": "linear", "dim_in": dim_in, "dim_out": dim_out, "hidden": 0}


class ResidualMap(LinearMap):
    """unit(x W^T + b + relu(x U^T + c) V^T): a linear map, corrected by a network of one hidden layer of width H.

    Attributes:
        inner: x U^T + c, (N, D) -> (N, H).
        outer: (N, H) -> (N, d), without a constant.
    """

    def __init__(self, dim_in: int, dim_out: int, hidden: int) -> None:
        super().__init__(dim_in, dim_out)
        self.inner = nn.Linear(dim_in, hidden)
        self.outer = nn.Linear(hidden, dim_out, bias=False)

    def mapped(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, d), not normalised."""
        corrected: Tensor = self.outer(self.inner(vectors).relu())
        return super().mapped(vectors) + corrected

    def describe(self) -> dict[str, Any]:
        """JSON values from which `build_map` makes a map of these sizes."""
        return {**super().describe(), "kind": "residual", "hidden": self.inner.out_features}


def build_map(described: Mapping[str, Any]) -> LinearMap:
    """Build the map that `describe` described, ready for its weights.

    Args:
        described: already checked to be within bounds, see `compat.inference.bundle.schema`.
    """
    dim_in, dim_out = described["dim_in"], described["dim_out"]
    if described["kind"] == "linear":
        return LinearMap(dim_in, dim_out)
    return ResidualMap(dim_in, dim_out, described["hidden"])


def first_coordinates(view_map: LinearMap, dim: int) -> LinearMap:
    """The same map onto the first `dim` of its d coordinates, which are a space of their own."""
    cut = build_map({**view_map.describe(), "dim_out": dim})
    weights = view_map.state_dict()
    cut.load_state_dict({name: value if name.startswith("inner") else value[:dim] for name, value in weights.items()})
    return cut
