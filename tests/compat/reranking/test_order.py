"""The order of candidates of which some have a score, against a slow way to the same."""

from __future__ import annotations

import numpy as np
import pytest

from skipfill.compat.reranking.order import reordered


def slowly(scores: list[float], known: list[bool], ids: list[int]) -> list[int]:
    """Those with a score, best first, put one by one into the places of those with a score."""
    best = sorted((-scores[at], ids[at], at) for at in range(len(ids)) if known[at])
    return [best.pop(0)[2] if known[at] else at for at in range(len(ids))]


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 1])
def test_candidates_with_a_score_are_reordered_among_their_places(share: float) -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 5, (50, 12)).astype(np.float32)  # many ties
    known = random.random((50, 12)) < share
    ids = np.stack([random.permutation(12) for _ in range(50)])
    scores[~known] = np.nan
    order = reordered(scores, known, ids)
    for row in range(50):
        expected = slowly(scores[row].tolist(), known[row].tolist(), ids[row].tolist())
        assert order[row].tolist() == expected
        assert reordered(scores[row], known[row], ids[row]).tolist() == expected


def test_no_candidates() -> None:
    nothing = np.zeros((3, 0))
    assert reordered(nothing, nothing.astype(bool), nothing.astype(np.int64)).shape == (3, 0)
