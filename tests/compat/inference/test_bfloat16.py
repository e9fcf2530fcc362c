"""Products in bfloat16 against float64 ones."""

from __future__ import annotations

import numpy as np
import pytest

from skipfill.compat.inference import bfloat16
from skipfill.compat.inference.bfloat16 import Bfloat16, rough_products


@pytest.mark.parametrize("size", [2e-6, 1.0, 9e5])
@pytest.mark.parametrize("dim", [1, 7, 384, 2048])
@pytest.mark.parametrize("kind", ["any", "positive", "midway"])
def test_products_are_within_the_bound(dim: int, size: float, kind: str) -> None:
    random = np.random.default_rng(dim)
    drawn = random.normal(size=(2, 40, dim))
    if kind == "positive":
        drawn = np.abs(drawn)
    if kind == "midway":  # halfway between two numbers of bfloat16, and all rounded to the same side
        drawn = np.full((2, 40, dim), 1 + 2.0**-8 - 2.0**-18)
    queries, rows = (drawn / np.linalg.norm(drawn, axis=2, keepdims=True) * size).astype(np.float32)
    exact = queries.astype(np.float64) @ rows.T.astype(np.float64)
    fast, found = Bfloat16(), np.empty((40, 40), np.float32)
    assert fast.can_multiply(np.linalg.norm(queries, axis=1))
    fast.multiply(fast.operand(queries), fast.operand(rows), found)
    bound = fast.rounding(dim, size**2)
    assert np.abs(found - exact).max() <= bound
    assert bound < 0.013 * size**2


@pytest.mark.parametrize("length", [1e-7, 1e7, np.inf, np.nan])
def test_vectors_of_other_lengths_are_refused(length: float) -> None:
    assert not Bfloat16().can_multiply(np.array([1, length], np.float32))


def test_small_searches_and_slow_processors_stay_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = np.ones((100, 128), np.float32)
    for fast in (True, False):
        monkeypatch.setattr(bfloat16, "is_fast", lambda fast=fast: fast)
        assert rough_products(queries, 1_000) is None
        assert (rough_products(queries, 10_000_000) is not None) == fast
