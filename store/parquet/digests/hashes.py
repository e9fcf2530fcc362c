"""Hashes of 64 bits of a column's values, by NumPy alone: of integers a bijection, of strings a polynomial."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.parquet.digests.content import utf8

Words = NDArray[np.uint64]
_STEP = np.uint64(0x9E3779B97F4A7C15)


def hashed(column: pa.Array) -> Words:
    """(N,) hashes of integers, or of strings: sums of their bytes, each times a factor of its place."""
    if pa.types.is_integer(column.type):
        return mixed(column.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64))
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    sizes = lengths.clip(min=0)
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    factors = mixed(np.arange(int(sizes.max(initial=0)), dtype=np.uint64)) | np.uint64(1)
    sums = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum((utf8(column).astype(np.uint64) + np.uint64(1)) * factors[places])]
    )
    return mixed((sums[ends] - sums[ends - sizes]) ^ mixed(lengths.view(np.uint64)))


def mixed(words: Words) -> Words:
    """A bijection after which every bit depends on every bit (SplitMix64)."""
    words = words + _STEP
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Words = words ^ (words >> np.uint64(31))
    return result
