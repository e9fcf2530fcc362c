"""Scores of queries and rows: exact ones of chosen pairs, and how far those of a matrix product may be from them.

An exact score is the float64 inner product, rounded to float32. A matrix product adds in an order that depends on
where a row lies in its block, so that equal rows may differ in their last bits; exact scores of equal rows are equal.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.engine.threads import processors
from skipfill.store.errors import BadInput
from skipfill.store.parquet.vectors import Lengths, Matrix, Similarity, normalised

Scores = NDArray[np.float32]
Places = NDArray[np.int64]
Precision = type[np.float32] | type[np.float64]
LARGEST = float(np.finfo(np.float32).max)
SCORE_ROUNDING = 2.0**-23
"""Share of a score by which a float64 product may differ that is rounded to it; twice that, for the bound's own."""
AT_ONCE = 2**17
"""Numbers of each side that are multiplied at once: they stay in the processor's cache."""


def comparable(
    vectors: Matrix, similarity: Similarity, lengths: Lengths | None = None, out: Matrix | None = None
) -> Matrix:
    """(N, D) vectors whose inner products are the scores: L2-normalised for a cosine.

    Args:
        lengths, out: see `normalised`.
    """
    return normalised(vectors, lengths, out) if similarity == "cosine" else vectors


def exact_scores(queries: Matrix, vectors: Matrix, query: Places, row: Places, ids: pa.Array) -> Scores:
    """(P,) exact scores of P pairs of a query and a row.

    Args:
        queries: (Q, D) float32.
        vectors: (N, D) float32.
        query, row: (P,) positions.
        ids: (N,) of the rows, for the error message.

    Raises:
        BadInput: a score is too large for float32; no order would be right.
    """
    scores = np.empty(len(query), np.float32)
    step = max(1, AT_ONCE // max(queries.shape[1], 1))
    with np.errstate(over="ignore"):
        for start in range(0, len(query), step):
            part = slice(start, start + step)
            # Each pair is summed alone, in one order: `optimize` would make a matrix product of it.
            scores[part] = np.einsum(
                "pd,pd->p",
                queries[query[part]].astype(np.float64),
                vectors[row[part]].astype(np.float64),
                optimize=False,
            )
    finite = np.isfinite(scores)
    if not finite.all():
        raise _too_large(ids[int(row[np.flatnonzero(~finite)[0]])])
    return scores


def shared_exact_scores(
    threads: ThreadPoolExecutor, queries: Matrix, vectors: Matrix, query: Places, row: Places, ids: pa.Array
) -> Scores:
    """`exact_scores`, a share of the pairs by each thread."""
    size = max(1, -(-len(query) // processors()))
    shares = [slice(start, start + size) for start in range(0, len(query), size)]

    def scores(share: slice) -> Scores:
        return exact_scores(queries, vectors, query[share], row[share], ids)

    return np.concatenate([np.empty(0, np.float32), *threads.map(scores, shares)])


def refuse_too_large(products: NDArray[np.floating[Any]], ids: pa.Array) -> None:
    """Raise `BadInput` for a product that float32 cannot hold, among (Q, N) of these rows."""
    bad = ~(np.abs(products) <= LARGEST)
    if bad.any():
        raise _too_large(ids[int(np.flatnonzero(bad.any(axis=0))[0])])


def _too_large(row: pa.Scalar) -> BadInput:
    return BadInput(
        f"inner product with the gallery's row {row.as_py()!r}",
        expected="a number that float32 can hold",
        found="a larger one",
    )


def rounding(dim: int, norms: float, precision: Precision) -> float:
    """The most that a matrix product and the float64 one may lie apart, which an exact score is when it is rounded.

    Args:
        norms: the product of the lengths of query and row, at most.

    Source: the sum of n products, in any order, with or without fused steps, is within n u / (1 - n u) of the sum of
    their sizes (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), and that sum is at most
    the product of the norms; u is half the distance of 1 to the next number. Four steps more make up for the rounding
    of norms and of this bound itself; products too small for all their digits are within the smallest number that has
    them.
    """
    unit = {np.float32: 2.0**-24, np.float64: 2.0**-53}
    product = (dim + 4) * unit[precision]
    if product >= 0.5:
        return np.inf
    share = product / (1 - product) + (dim + 4) * unit[np.float64]
    return share * norms + 2.0**-149 + dim * float(np.finfo(precision).smallest_normal)
