"""One Arrow column of vectors as a float32 matrix, with every way it can be wrong named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput, Parameter, row_place

Matrix = NDArray[np.float32]
Lengths = NDArray[np.float32]
"""(N,) L2 norms as float32 sums of squares give them: 0 or infinite where these are too small or too large for it."""
NumberType = Literal["", "int8", "float16", "float32", "float64"]
ARROW_TYPES = {"int8": pa.int8(), "float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column whose Arrow type does not say how to read them, as its owner declares them.

    Attributes:
        type: of the numbers of lists of int8, and of FixedSizeBinary, which holds them one after the other, the lowest
            byte first. Empty: nothing is declared, and only lists of floats can be read, as they can be with any type.
        scale: of int8: each number times this is a coordinate.

    Raises:
        BadInput: another type, or a scale that is missing, has no effect or is not a positive number.
    """

    type: NumberType = ""
    scale: float = 1.0

    @classmethod
    def declared(cls, kind: str, scale: float | None) -> Numbers:
        """The numbers as a user declares them; no scale is None."""
        types = [name for name in get_args(NumberType) if name]
        if kind not in ("", *types):
            raise BadInput(Parameter("vector_type"), expected=", ".join(types), found=repr(kind))
        if kind != "int8":
            if scale is not None:
                raise BadInput(Parameter("scale"), expected="vectors of type int8", found=kind or "no type of vectors")
            return cls(kind)  # type: ignore[arg-type]
        if scale is None or not (math.isfinite(scale) and scale > 0):
            found = "none" if scale is None else str(scale)
            raise BadInput(Parameter("scale"), expected="a positive number that int8 is multiplied by", found=found)
        return cls("int8", scale)

    def reads(self, kind: pa.DataType) -> bool:
        """Whether a column of this type is read as vectors."""
        kind = storage_type(kind)
        if pa.types.is_fixed_size_binary(kind):
            return self.type != "" and kind.byte_width % ARROW_TYPES[self.type].byte_width == 0
        return is_vector_type(kind) or (self.type == "int8" and _is_list(kind) and kind.value_type == pa.int8())

    @property
    def readable(self) -> str:
        """The types that can be read, in words."""
        lists = "lists of float16, float32 or float64"
        if not self.type:
            return lists
        more = "lists of int8, or " if self.type == "int8" else ""
        return f"{lists}, or {more}fixed-size binary values of {self.type}"

    def list_size(self, kind: pa.DataType) -> int:
        """The dimension of vectors of this type; 0 where only their rows say it."""
        kind = storage_type(kind)
        if pa.types.is_fixed_size_binary(kind):
            return int(kind.byte_width // ARROW_TYPES[self.type].byte_width)
        return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 0

    def as_lists(self, column: pa.Array) -> pa.Array:
        """A column without NULL as lists of numbers, not scaled; no copy."""
        if not pa.types.is_fixed_size_binary(column.type):
            return column
        kind, width = ARROW_TYPES[self.type], self.list_size(column.type)
        end = (column.offset + len(column)) * width
        flat = pa.Array.from_buffers(kind, end, [None, column.buffers()[1]])
        return pa.FixedSizeListArray.from_arrays(flat.slice(column.offset * width), width)


FLOATS = Numbers()


def may_be_declared(kind: pa.DataType) -> bool:
    """Whether a column of this type is read as vectors once its numbers are declared."""
    return any(Numbers(name).reads(kind) for name in get_args(NumberType))


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The plain type under an extension type such as Arrow's fixed_shape_tensor."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_vector_type(kind: pa.DataType) -> bool:
    """Whether a column of this type is read as vectors: a list, of any Arrow flavour, of f16, f32 or f64."""
    kind = storage_type(kind)
    return _is_list(kind) and pa.types.is_floating(kind.value_type)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def matrix(
    column: pa.Array,
    where: object,
    *,
    dim: int | None = None,
    allow_zero: bool = False,
    numbers: Numbers = FLOATS,
) -> Matrix:
    """Turn a block of vectors into an (N, D) float32 matrix; no copy when it is one already.

    Args:
        column: N vectors.
        where: file and column, or the place of the block, for the error message.
        dim: D, when it is known; otherwise taken from the first vector.
        allow_zero: accept vectors of norm zero (features may be; embeddings under a cosine may not).
        numbers: as declared.

    Raises:
        BadInput: a type that cannot be read, NULL vectors, ragged rows, another dimension, NaN, infinity or zero norm.
    """
    values = _numbers_of(column, where, dim, numbers)
    _refuse_bad_rows(values, np.einsum("nd,nd->n", values, values), where, allow_zero=allow_zero)
    return values


def measured_vectors(column: pa.Array, where: object, *, dim: int, numbers: Numbers = FLOATS) -> tuple[Matrix, Lengths]:
    """Turn a block of vectors into an (N, D) matrix as `matrix` does, and measure their (N,) lengths.

    Raises:
        BadInput: see `matrix`.
    """
    if pa.types.is_struct(column.type):
        lists, lengths = column.flatten()
        return lists.flatten().to_numpy().reshape(-1, dim), lengths.to_numpy()
    values = _numbers_of(column, where, dim, numbers)
    squares = np.einsum("nd,nd->n", values, values)
    _refuse_bad_rows(values, squares, where, allow_zero=False)
    return values, np.sqrt(squares)


def with_lengths(vectors: Matrix, lengths: Lengths) -> pa.Array:
    """A column of vectors that were verified and measured: `measured_vectors` reads it without a second look."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.StructArray.from_arrays([lists, pa.array(lengths)], ["vector", "length"])


def _numbers_of(column: pa.Array, where: object, dim: int | None, numbers: Numbers) -> Matrix:
    if not numbers.reads(column.type):
        raise BadInput(where, expected=numbers.readable, found=str(column.type))
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise BadInput(row_place(where, row), expected="a vector", found="NULL")
    if len(column) == 0:
        return np.empty((0, dim or 0), np.float32)
    column = numbers.as_lists(column)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        width = int(lengths[0]) if dim is None or (lengths == lengths[0]).all() else dim
        ragged = np.flatnonzero(lengths != width)
        if len(ragged):
            row = int(ragged[0])
            raise BadInput(
                row_place(where, row), expected=f"{width} numbers, as in the other rows", found=f"{lengths[row]}"
            )
    if width == 0:
        raise BadInput(where, expected="vectors of at least one number", found="empty lists")
    if dim is not None and width != dim:
        raise BadInput(where, expected=f"vectors of dimension {dim}", found=f"dimension {width}")
    flat = column.flatten()
    if flat.null_count:
        row = pc.index(flat.is_null(), True).as_py() // width
        raise BadInput(row_place(where, row), expected="finite numbers", found="NULL")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        values: Matrix = flat.to_numpy(zero_copy_only=False).astype(np.float32, copy=False).reshape(-1, width)
        if flat.type == pa.int8():
            values *= np.float32(numbers.scale)
    return values


def _refuse_bad_rows(values: Matrix, squares: Lengths, where: object, *, allow_zero: bool) -> None:
    bad = ~np.isfinite(squares)
    if bad.any():
        # The sum of squares may overflow where every coordinate is finite: look before judging.
        bad &= ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        coordinate = values[row][~np.isfinite(values[row])][0]
        raise BadInput(row_place(where, row), expected="finite numbers", found=f"{coordinate}")
    if allow_zero or (squares > 0).all():
        return
    zero = squares == 0
    zero[zero] = ~values[zero].any(axis=1)  # the sum of squares may vanish where a coordinate does not
    if zero.any():
        row = int(np.flatnonzero(zero)[0])
        raise BadInput(row_place(where, row), expected="a vector that is not all zeros", found="only zeros")


SAFE = (1e-15, 1e15)
"""Lengths whose sums of squares float32 holds: they neither overflow nor lose more than their rounding."""


def normalised(values: Matrix, lengths: Lengths | None = None, out: Matrix | None = None) -> Matrix:
    """(N, D) each row divided by its L2 norm, of whatever size that is. Rows must not be zero.
    `lengths`: (N,) of the rows, if they are known; `out`: memory for the result."""
    lengths = lengths_of(values) if lengths is None else lengths
    unsafe = _unsafe(lengths)
    result: Matrix = np.divide(values, np.where(unsafe, np.float32(1), lengths)[:, None], out=out)
    if unsafe.any():
        # By a power of two, which changes no digit: the result is that of a row of ordinary length.
        powers = np.frexp(np.abs(values[unsafe]).max(axis=1, keepdims=True))[1]
        scaled = np.ldexp(values[unsafe], -powers)
        result[unsafe] = scaled / lengths_of(scaled)[:, None]
    return result


def longest(values: Matrix, lengths: Lengths | None = None) -> float:
    """The largest L2 norm of N rows, of whatever size it is; 0 for none. `lengths`: theirs, if they are known."""
    lengths = lengths_of(values) if lengths is None else lengths
    if not _unsafe(lengths).any():
        return float(lengths.max(initial=0))
    return float(np.linalg.norm(values.astype(np.float64), axis=1).max())


def lengths_of(values: Matrix) -> Lengths:
    """(N,) the L2 norms of rows; 0 or infinite where float32 cannot hold the squares."""
    with np.errstate(over="ignore"):
        lengths: Lengths = np.sqrt(np.einsum("nd,nd->n", values, values))
    return lengths


def _unsafe(lengths: Lengths) -> NDArray[np.bool_]:
    """(N,) where float32 cannot hold the squares."""
    return ~((lengths > SAFE[0]) & (lengths < SAFE[1]))


Similarity = Literal["cosine", "ip"]
