"""Scores of a check, gathered from ranks."""

from __future__ import annotations

import numpy as np
import pytest

from skipfill.compat.evaluation.per_query import distribution
from skipfill.store.retrieval.ranks import RelevantRanks


def test_cosines_that_rounding_took_above_1_are_in_the_distribution() -> None:
    scores = [np.array([np.nextafter(np.float32(1), np.float32(2)), 0.0], np.float32)]
    others = np.zeros((1, 2048), np.uint32)
    others[0, 0] = 1
    ranks = RelevantRanks([np.array([1, 2])], scores, None, np.linspace(-1, 1, 2049), others)
    found = distribution("old/old", ranks)
    assert found.relevant[-1] == pytest.approx(0.5)
    assert sum(found.relevant) == pytest.approx(1)
