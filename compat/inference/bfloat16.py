"""Products in bfloat16, which some processors multiply several times as fast as float32.

bfloat16 has the range of float32 and 8 of its 24 binary digits. These products find the rows that may be hits.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
import torch

from skipfill.store.engine.threads import WhileAsked, one_thread_of_blas
from skipfill.store.parquet.vectors import Lengths, Matrix
from skipfill.store.retrieval.products import Scores, rounding

LEAST = 2**34
"""Multiplications (queries x rows x dimensions) from which a search takes so long that products are timed first."""
ORDINARY = (1e-6, 1e6)
"""L2 norms of vectors that may be multiplied in bfloat16: no coordinate or product overflows, and what is so small that
it is taken for zero changes a product by no more than `rounding` allows."""
UNIT = 2.0**-8
"""Half the distance of 1 to the next larger number in bfloat16: the largest error of rounding, as a share."""


class Bfloat16:
    """See `RoughProducts`."""

    def can_multiply(self, lengths: Lengths) -> bool:
        return bool(len(lengths) and ORDINARY[0] < lengths.min() and lengths.max() < ORDINARY[1])

    def operand(self, vectors: Matrix) -> torch.Tensor:
        with warnings.catch_warnings():
            # The memory of a packed copy is read-only; torch warns of what happens if such an array is written to.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            return torch.from_numpy(vectors).bfloat16()

    def multiply(self, queries: torch.Tensor, vectors: torch.Tensor, out: Scores) -> None:
        torch.from_numpy(out).copy_(queries @ vectors.T)

    def rounding(self, dim: int, norms: float) -> float:
        """The most that a product and the float64 one may lie apart, for vectors that `can_multiply` accepts.

        Both vectors are rounded, and the product: each by at most `UNIT` of its size. The products of the rounded
        vectors are summed in float32; twice the bound of that, because a processor may round each product as well.
        Numbers below the smallest normal one may be taken for zero.
        """
        rounded = (1 + UNIT) ** 2
        summed = rounded * norms + 2 * rounding(dim, rounded * norms, np.float32)
        lost = 2 * dim * ORDINARY[1] * float(np.finfo(np.float32).smallest_normal)
        return (1 + UNIT) * summed - norms + lost

    def one_thread(self) -> AbstractContextManager[None]:
        return _one_thread()


def rough_products(queries: Matrix, rows: int) -> Bfloat16 | None:
    """The products for a search of `rows` rows for (Q, D) queries; None where float32 is as fast."""
    return Bfloat16() if queries.size * rows >= LEAST and is_fast() else None


@cache
def is_fast() -> bool:
    """Whether a product in bfloat16 takes less than half the time of one in float32, on one thread of this machine.

    It is timed once in a process, which takes some 6 ms.
    """
    random = np.random.default_rng(0)
    queries, rows = (random.normal(size=(count, 384)).astype(np.float32) for count in (64, 4096))
    products = np.empty((64, 4096), np.float32)
    fast = Bfloat16()
    operands = fast.operand(queries), fast.operand(rows)
    with one_thread_of_blas(), fast.one_thread():
        return 2 * _seconds(lambda: fast.multiply(*operands, products)) < _seconds(lambda: queries @ rows.T)


def _seconds(product: Callable[[], object]) -> float:
    """The shortest of six times, in seconds: the first ones also load the library, and other work comes between."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        product()
        times.append(time.perf_counter() - began)
    return min(times)


def _limit_torch() -> int:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return before


_one_thread = WhileAsked(_limit_torch, torch.set_num_threads)
