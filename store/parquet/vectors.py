"""One Arrow column of vectors as a float32 matrix, with every way it can be wrong named."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput, row_place

Matrix = NDArray[np.float32]


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The plain type under an extension type such as Arrow's fixed_shape_tensor."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_vector_type(kind: pa.DataType) -> bool:
    """Whether a column of this type is read as vectors: a list, of any Arrow flavour, of f16, f32 or f64."""
    kind = storage_type(kind)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def matrix(column: pa.Array, where: object, *, dim: int | None = None, allow_zero: bool = False) -> Matrix:
    """Turn a block of vectors into an (N, D) float32 matrix; no copy when it is one already.

    Args:
        column: N vectors.
        where: file and column, or the place of the block, for the error message.
        dim: D, when it is known; otherwise taken from the first vector.
        allow_zero: accept vectors of norm zero (features may be; embeddings under a cosine may not).

    Raises:
        BadInput: not a list of floats, NULL vectors, ragged rows, another dimension, NaN, infinity or zero norm.
    """
    if not is_vector_type(column.type):
        raise BadInput(where, expected="lists of float16, float32 or float64", found=str(column.type))
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise BadInput(row_place(where, row), expected="a vector", found="NULL")
    if len(column) == 0:
        return np.empty((0, dim or 0), np.float32)
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
    _refuse_bad_rows(values, where, allow_zero=allow_zero)
    return values


def _refuse_bad_rows(values: Matrix, where: object, *, allow_zero: bool) -> None:
    squares = np.einsum("nd,nd->n", values, values)
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


def normalised(values: Matrix) -> Matrix:
    """(N, D) each row divided by its L2 norm, of whatever size that is. Rows must not be zero."""
    lengths, unsafe = _lengths(values)
    lengths[unsafe] = 1
    result: Matrix = values / lengths[:, None]
    if unsafe.any():
        # By a power of two, which changes no digit: the result is that of a row of ordinary length.
        powers = np.frexp(np.abs(values[unsafe]).max(axis=1, keepdims=True))[1]
        scaled = np.ldexp(values[unsafe], -powers)
        result[unsafe] = scaled / _lengths(scaled)[0][:, None]
    return result


def longest(values: Matrix) -> float:
    """The largest L2 norm of N rows, of whatever size it is; 0 for none."""
    lengths, unsafe = _lengths(values)
    if not unsafe.any():
        return float(lengths.max(initial=0))
    return float(np.linalg.norm(values.astype(np.float64), axis=1).max())


def _lengths(values: Matrix) -> tuple[Matrix, NDArray[np.bool_]]:
    """(N,) L2 norms, and where float32 cannot hold their squares."""
    lengths: Matrix = np.sqrt(np.einsum("nd,nd->n", values, values))
    return lengths, ~((lengths > SAFE[0]) & (lengths < SAFE[1]))


Similarity = Literal["cosine", "ip"]
