"""The one-standard-error rule on cases that can be counted."""

from __future__ import annotations

import torch

from skipfill.compat.nn.selection import simplest_near_best


def test_the_simplest_candidate_within_a_standard_error_is_chosen() -> None:
    best = torch.ones(100)
    near, far = best.clone(), best.clone()
    near[:1] = 0  # shortfall .010, standard error .00995
    far[:9] = 0  # shortfall .090, standard error .0286
    assert simplest_near_best(torch.stack([far, best])) == 1
    assert simplest_near_best(torch.stack([far, near, best])) == 2
    close = torch.cat([torch.zeros(1), torch.ones(99)]), torch.cat([torch.ones(99), torch.zeros(1)])
    assert simplest_near_best(torch.stack(close)) == 0  # equally good: the first


def test_a_difference_that_noise_explains_keeps_the_simpler_one() -> None:
    simple, better = torch.ones(100), torch.ones(100)
    simple[:12], better[8:18] = 0, 0  # 12 and 10 missed: shortfall .02, standard error .0374
    assert simplest_near_best(torch.stack([simple, better])) == 0
