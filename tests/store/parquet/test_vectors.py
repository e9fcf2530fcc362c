"""Lengths and directions of vectors of any size that float32 can hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.vectors import longest, matrix, normalised

SIZES = [3e38 / 4, 1e20, 1.0, 1e-16, 3e-23, 1e-37]


@pytest.mark.parametrize("size", SIZES)
def test_directions_are_right_at_any_size(size: float) -> None:
    exact = np.random.default_rng(0).uniform(-1, 1, (50, 12))
    vectors = (exact * size).astype(np.float32)
    vectors[1] = exact[1]  # beside one of another size
    wanted = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(normalised(vectors), wanted, atol=2e-7)
    assert longest(vectors) == pytest.approx(np.linalg.norm(vectors.astype(np.float64), axis=1).max(), rel=1e-5)


def test_only_a_zero_vector_has_no_direction() -> None:
    rows = np.float32([[3e-23, 0], [1e20, 0]])
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 2)
    np.testing.assert_array_equal(matrix(column, "here"), rows)
    zero = pa.FixedSizeListArray.from_arrays(pa.array(np.float32([1, 0, 0, 0])), 2)
    with pytest.raises(BadInput, match=r"here, row 1: expected a vector that is not all zeros, found only zeros"):
        matrix(zero, "here")
