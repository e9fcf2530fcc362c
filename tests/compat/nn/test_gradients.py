"""Gradients that are written down are those of autograd, and of central differences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skipfill.compat.gradients import largest_share, normalized, of_first_and_last, with_gradient


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_normalized_is_what_torch_normalizes() -> None:
    vectors = random(5, 7)
    vectors[1] = 0
    results = []
    for act in (normalized, nn.functional.normalize):
        given = vectors.clone().requires_grad_()
        found = act(given)
        (found * random(5, 7, seed=1)).sum().backward()
        results.append((found.detach(), given.grad))
    ours, theirs = results
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)
    torch.testing.assert_close(ours[1], theirs[1])
    assert torch.autograd.gradcheck(normalized, random(2, 3, 4).requires_grad_())


def test_largest_share() -> None:
    logits = random(5, 7).requires_grad_()
    torch.testing.assert_close(largest_share(logits), logits.softmax(dim=1).amax(dim=1, keepdim=True))
    assert torch.autograd.gradcheck(largest_share, logits)


def test_a_loss_has_the_gradient_that_it_comes_with() -> None:
    vectors, gradient = random(3, 4).requires_grad_(), random(3, 4, seed=1)
    (5 * with_gradient(vectors, torch.tensor(2.0, dtype=torch.float64), gradient)).backward()
    torch.testing.assert_close(vectors.grad, 5 * gradient)


@pytest.mark.parametrize(("until", "since"), [(6, 0), (6, 6), (4, 2), (4, 4), (0, 0), (6, 2), (4, 0)])
@pytest.mark.parametrize("frozen", [False, True])
def test_two_layers_of_parts_of_the_features(until: int, since: int, frozen: bool) -> None:
    first, last = nn.Linear(5, 3).double(), nn.Linear(5, 2).double()
    last.requires_grad_(not frozen)
    results = []
    for fast in (True, False):
        features = random(6, 5).requires_grad_()
        both = (
            of_first_and_last(features, until, since, first, last)
            if fast
            else (first(features[:until]), last(features[since:]))
        )
        sum((one * random(*one.shape, seed=2)).sum() for one in both).backward()  # type: ignore[union-attr]
        gradients = [one.grad for one in (features, *first.parameters(), *last.parameters())]
        results.append([*(one.detach() for one in both), *gradients])
        first.zero_grad()
        last.zero_grad()
    for ours, theirs in zip(*results, strict=True):
        assert (ours is None) == (theirs is None)
        torch.testing.assert_close(ours, theirs)
