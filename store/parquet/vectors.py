"""One Arrow column of vectors as a float32 matrix, with every way it can be wrong named."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput

Matrix = NDArray[np.float32]


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The plain type under an extension type such as Arrow's fixed_shape_tensor."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_vector_type(kind: pa.DataType) -> bool:
    """Whether a column of this type is read as vectors: a list, of any Arrow flavour, of f16, f32 or f64."""
    kind = storage_type(kind)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))


def matrix(column: pa.Array, where: str, *, dim: int | None = None, allow_zero: bool = False) -> Matrix:
    """Turn a block of vectors into an (N, D) float32 matrix; no copy when it is one already.

    Args:
        column: N vectors.
        where: file, column and first row, for the error message.
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
        raise BadInput(f"{where} + {row}", expected="a vector", found="NULL")
    if len(column) == 0:
        return np.empty((0, dim or 0), np.float32)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        width = int(lengths[0]) if dim is None else dim
        ragged = np.flatnonzero(lengths != width)
        if len(ragged):
            row = int(ragged[0])
            raise BadInput(f"{where} + {row}", expected=f"{width} coordinates", found=f"{lengths[row]}")
    if width == 0:
        raise BadInput(where, expected="vectors of at least one coordinate", found="empty lists")
    if dim is not None and width != dim:
        raise BadInput(where, expected=f"vectors of dimension {dim}", found=f"dimension {width}")
    flat = column.flatten()
    if flat.null_count:
        row = pc.index(flat.is_null(), True).as_py() // width
        raise BadInput(f"{where} + {row}", expected="finite coordinates", found="NULL")
    values: Matrix = flat.to_numpy(zero_copy_only=False).astype(np.float32, copy=False).reshape(-1, width)
    _refuse_bad_rows(values, where, allow_zero=allow_zero)
    return values


def _refuse_bad_rows(values: Matrix, where: str, *, allow_zero: bool) -> None:
    norms = np.einsum("nd,nd->n", values, values)
    bad = ~np.isfinite(norms)
    if bad.any():
        # The sum of squares may overflow where every coordinate is finite: look before judging.
        bad &= ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        coordinate = values[row][~np.isfinite(values[row])][0]
        raise BadInput(f"{where} + {row}", expected="finite coordinates", found=f"{coordinate}")
    if not allow_zero and (norms == 0).any():
        row = int(np.flatnonzero(norms == 0)[0])
        raise BadInput(f"{where} + {row}", expected="a vector with a direction", found="a zero vector")


def normalised(values: Matrix) -> Matrix:
    """Each row divided by its L2 norm. Rows must not be zero."""
    norms: Matrix = np.sqrt(np.einsum("nd,nd->n", values, values))[:, None]
    return values / norms


Similarity = Literal["cosine", "ip"]
