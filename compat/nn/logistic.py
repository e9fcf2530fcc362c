"""Logistic regression with a few variables."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 100
ENOUGH = 1e-10  # change of a weight at which Newton's method stops


def fit_logistic(evidence: Tensor, true: Tensor, *, balanced: bool = False) -> Tensor:
    """(N, K) evidence, (N,) bool -> (K + 1,) weights of log(P / (1 - P)), the constant last.

    The weights of the standardised evidence are penalised by |w|^2 / 2; the constant is not. Both outcomes must occur.

    Args:
        balanced: give both outcomes the same total weight, so that the odds are those of equally frequent outcomes.

    Source: maximum likelihood by Newton's method, as in Hastie, Tibshirani and Friedman 2009, 4.4.
    """
    x, y = evidence.double(), true.double()
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0).clamp(min=1e-12)
    x = torch.cat([(x - mean) / scale, x.new_ones(len(x), 1)], dim=1)
    share = y.mean()
    each = torch.where(true, 0.5 / share, 0.5 / (1 - share)) if balanced else torch.ones_like(y)
    penalty = torch.ones_like(x[0])
    penalty[-1] = 0
    weights = torch.zeros_like(x[0])
    for _ in range(STEPS):
        likely = (x @ weights).sigmoid()
        gradient = x.T @ (each * (likely - y)) + penalty * weights
        hessian = (x.T * (each * likely * (1 - likely)).clamp(min=1e-12)) @ x + penalty.diag()
        step = torch.linalg.solve(hessian, gradient)
        weights = weights - step
        if step.abs().max() < ENOUGH:
            break
    raw = weights[:-1] / scale
    return torch.cat([raw, weights[-1:] - (raw @ mean)[None]]).to(evidence.dtype)


def log_odds(evidence: Tensor, weights: Tensor) -> Tensor:
    """Log odds by (N, K) evidence and (K + 1,) weights: (N, 1)."""
    return evidence @ weights[:-1, None] + weights[-1]
