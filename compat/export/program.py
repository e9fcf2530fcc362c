"""A pipeline as a list of small steps on matrices, each with its formula: enough to write it again in any language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit, logsumexp, softmax
from torch import Tensor

Array = NDArray[Any]
Arguments = Mapping[str, Any]
"""Tensors and numbers of a step by their roles."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        op: its name in `OPS`, or `transformers`.
        of: names of the values that it takes.
        to: name of the value that it makes.
        tensors: names of tensors by their roles in the formula.
        numbers: numbers by their roles.
        part: the part of the model that it belongs to, for people.
    """

    op: str
    of: tuple[str, ...]
    to: str
    tensors: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""

    def as_json(self) -> dict[str, Any]:
        """The step as JSON values; of a step without a formula, what the names of its tensors begin with."""
        tensors = self.tensors if self.op in OPS else {"tensors_begin_with": f"{self.to}."}
        return {"part": self.part, "op": self.op, "of": list(self.of), "to": self.to, **tensors, **self.numbers}


class Program:
    """Steps in order, and their tensors. The last step makes the result."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.tensors: dict[str, Tensor] = {}
        self.part = ""
        self.prefix = ""

    def begin(self, part: str, prefix: str = "") -> None:
        """Begin a part of the model; names of its values start with `prefix`."""
        self.part, self.prefix = part, prefix

    def add(
        self, op: str, *of: str, to: str = "", tensors: Mapping[str, Tensor | None] | None = None, **numbers: Any
    ) -> str:
        """Append a step, and return the name of its value.

        Args:
            to: that name; empty for one by its number.
            tensors: by role; they are named after the value. None for a role that the step leaves out.
        """
        name = f"{self.prefix}{to}" if to else f"{op}_{len(self.steps) + 1}"
        assert name not in {step.to for step in self.steps}, name
        given = {role: tensor.detach() for role, tensor in (tensors or {}).items() if tensor is not None}
        self.tensors |= {f"{name}.{role}": tensor for role, tensor in given.items()}
        self.steps.append(Step(op, of, name, {role: f"{name}.{role}" for role in given}, numbers, self.part))
        return name

    def formulas(self) -> dict[str, str]:
        """The formula of each operation that it has."""
        return {op: OPS[op].formula for op in sorted({step.op for step in self.steps}) if op in OPS}


def run(steps: list[dict[str, Any]], tensors: Mapping[str, Array], values: dict[str, Array]) -> Array:
    """The result of steps in numpy.

    Args:
        steps: as JSON values, see `Step.as_json`.
        values: by name, those that the first steps take: the inputs.
    """
    values = dict(values)
    for step in steps:
        roles = {role: one for role, one in step.items() if role not in ("part", "op", "of", "to")}
        arguments = {role: tensors[one] if isinstance(one, str) else one for role, one in roles.items()}
        values[step["to"]] = OPS[step["op"]].run([values[name] for name in step["of"]], arguments).astype(np.float32)
    result: Array = values[steps[-1]["to"]]
    return result


@dataclass(frozen=True)
class Op:
    """An operation on (N, ...) values.

    Attributes:
        formula: on x, or x, y, ...; roles of tensors and numbers are written by their names.
    """

    formula: str
    run: Callable[[list[Array], Arguments], Array]


def _linear(x: list[Array], by: Arguments) -> Array:
    made: Array = x[0] @ by["weight"].T + by.get("bias", 0)
    return made


def _residual(x: list[Array], by: Arguments) -> Array:
    hidden = np.maximum(x[0] @ by["inner_weight"].T + by["inner_bias"], 0)
    made: Array = _linear(x, by) + hidden @ by["outer_weight"].T
    return made


def _normalize(x: list[Array], by: Arguments) -> Array:
    made: Array = x[0] / np.maximum(np.linalg.norm(x[0], axis=1, keepdims=True), 1e-12)
    return made


def _standardize(x: list[Array], by: Arguments) -> Array:
    made: Array = (x[0] - x[0].mean(axis=1, keepdims=True)) / np.sqrt(x[0].var(axis=1, keepdims=True) + by["eps"])
    return made


def _conv3x3(x: list[Array], by: Arguments) -> Array:
    padded = np.pad(x[0], ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    made: Array = np.einsum("nchwij,ocij->nohw", windows, by["weight"], optimize=True) + by["bias"][:, None, None]
    return made


def _largest_of_2x2(x: list[Array], by: Arguments) -> Array:
    count, channels, height, width = x[0].shape
    even = x[0][:, :, : height // 2 * 2, : width // 2 * 2]
    made: Array = even.reshape(count, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return made


def _mean_of_3x3(x: list[Array], by: Arguments) -> Array:
    rows, columns = ([(i * n // 3, -(-(i + 1) * n // 3)) for i in range(3)] for n in x[0].shape[2:])
    cells = [x[0][:, :, a:b, c:d].mean(axis=(2, 3)) for a, b in rows for c, d in columns]
    return np.stack(cells, axis=2).reshape(len(x[0]), -1)


OPS: dict[str, Op] = {
    "linear": Op("x weight^T + bias, without a bias where there is none", _linear),
    "residual": Op("x weight^T + bias + max(x inner_weight^T + inner_bias, 0) outer_weight^T", _residual),
    "normalize": Op("each row divided by its L2 norm, or by 1e-12 if that is larger", _normalize),
    "standardize": Op("(x - mean(x)) / sqrt(var(x) + eps) of each row; var divides by the row's length", _standardize),
    "relu": Op("max(x, 0)", lambda x, by: np.maximum(x[0], 0)),
    "gelu": Op("x (1 + erf(x / sqrt(2))) / 2", lambda x, by: x[0] * (1 + erf(x[0] / np.sqrt(2))) / 2),
    "slice": Op("columns from start to stop, stop not included", lambda x, by: x[0][:, by["start"] : by["stop"]]),
    "concat": Op("columns of x, then of y", lambda x, by: np.concatenate(x, axis=1)),
    "add": Op("x + y + ...", lambda x, by: np.sum(x, axis=0)),
    "subtract": Op("x - y, or x - values for one tensor", lambda x, by: x[0] - (x[1] if len(x) > 1 else by["values"])),
    "multiply": Op("x y; one column of x multiplies each column of y", lambda x, by: x[0] * x[1]),
    "divide": Op("x / y", lambda x, by: x[0] / x[1]),
    "scale": Op("factor x + constant", lambda x, by: by["factor"] * x[0] + by["constant"]),
    "clip": Op("min(max(x, low), high)", lambda x, by: np.clip(x[0], by["low"], by["high"])),
    "softmax": Op("exp(x) / sum(exp(x)) of each row", lambda x, by: softmax(x[0], axis=1)),
    "sigmoid": Op("1 / (1 + exp(-x))", lambda x, by: expit(x[0])),
    "sqrt": Op("sqrt(x)", lambda x, by: np.sqrt(x[0])),
    "largest": Op(
        "the count largest entries of each row, in falling order",
        lambda x, by: -np.sort(-x[0], axis=1)[:, : by["count"]],
    ),
    "mean": Op("the mean of each row, as one column", lambda x, by: x[0].mean(axis=1, keepdims=True)),
    "logsumexp": Op(
        "log(sum(exp(x))) of each row, as one column", lambda x, by: logsumexp(x[0], axis=1, keepdims=True)
    ),
    "instead": Op(
        "x, and y in the rows where x is 0 everywhere",
        lambda x, by: np.where(x[0].any(axis=1, keepdims=True), x[0], x[1]),
    ),
    "conv3x3": Op("a 3 x 3 convolution with zeros around the image: weight is (out, in, 3, 3)", _conv3x3),
    "largest_of_2x2": Op("the largest of each 2 x 2 places; an odd last row or column is left out", _largest_of_2x2),
    "mean_of_3x3": Op(
        "means over a 3 x 3 grid: rows floor(i H / 3) to ceil((i + 1) H / 3), columns alike; then flat, channels first",
        _mean_of_3x3,
    ),
}
