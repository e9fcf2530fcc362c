"""Closed-form maps beside scipy, augmented least squares, and slow formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from skipfill.compat.methods.adapters import lambda_orthogonal, low_rank, residual, ridge
from skipfill.compat.methods.adapters.adapter import NoSettings
from skipfill.compat.methods.adapters.lambda_orthogonal import LambdaOrthogonal, lambda_orthogonal_loss
from skipfill.compat.methods.adapters.low_rank import LowRank
from skipfill.compat.methods.adapters.pairs import Pairs, PairSample, PairSums
from skipfill.compat.methods.adapters.procrustes import Procrustes
from skipfill.compat.methods.adapters.relative import Relative
from skipfill.compat.methods.adapters.residual import Residual
from skipfill.compat.methods.adapters.ridge import Ridge
from skipfill.compat.methods.registry import ADAPTERS
from skipfill.compat.nn.normalize import unit
from skipfill.compat.nn.view_maps import LinearMap

Array = NDArray[np.float64]
SIZES = [(12, 12), (16, 9), (9, 16)]
each_size = pytest.mark.parametrize(("dim_new", "dim_old"), SIZES)


def pairs_of(dim_new: int, dim_old: int, count: int = 400, noise: float = 0.3, seed: int = 0) -> Pairs:
    """Two noisy views of the same hidden vectors, away from the origin."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, 8, generator=random)
    views = [
        hidden @ torch.randn(8, dim, generator=random) + noise * torch.randn(count, dim, generator=random) + 0.5
        for dim in (dim_new, dim_old)
    ]
    return Pairs.of(unit(views[0]), unit(views[1]), torch.randint(-1, 5, (count,), generator=random))


def float64(pairs: Pairs) -> tuple[Array, Array]:
    return pairs.sample.new.double().numpy(), pairs.sample.old.double().numpy()


def assert_maps(fitted: LinearMap, weight: Array, bias: Array) -> None:
    """To 1e-6: weights in bundles are float32."""
    np.testing.assert_allclose(fitted.weight.numpy(), weight.T, atol=1e-6)
    np.testing.assert_allclose(fitted.bias.numpy(), bias, atol=1e-6)


@each_size
def test_procrustes_is_scipys(dim_new: int, dim_old: int) -> None:
    """For unequal dimensions scipy's rotation of the vectors with zeros behind them, cut to their dimensions."""
    pairs = pairs_of(dim_new, dim_old)
    new, old = float64(pairs)
    wide = max(dim_new, dim_old)
    padded = [np.pad(one - one.mean(axis=0), ((0, 0), (0, wide - one.shape[1]))) for one in (new, old)]
    rotation, _ = scipy.linalg.orthogonal_procrustes(*padded)
    weight = rotation[:dim_new, :dim_old]
    fitted = Procrustes.fit(pairs, NoSettings(), 0)
    assert_maps(fitted, weight, old.mean(axis=0) - new.mean(axis=0) @ weight)
    short = fitted.weight if dim_old <= dim_new else fitted.weight.T
    torch.testing.assert_close(short @ short.T, torch.eye(len(short)), atol=1e-6, rtol=0)


@each_size
@pytest.mark.parametrize("penalty", [10.0, 0.1, 0.001])
def test_ridge_is_augmented_least_squares(dim_new: int, dim_old: int, penalty: float) -> None:
    """Least squares of the centred vectors with rows of sqrt(penalty) behind them that ask for zero weights."""
    pairs = pairs_of(dim_new, dim_old)
    new, old = float64(pairs)
    centred = new - new.mean(axis=0)
    strength = penalty * (centred**2).mean()
    above = np.vstack([centred, np.sqrt(strength * len(new)) * np.eye(dim_new)])
    below = np.vstack([old - old.mean(axis=0), np.zeros((dim_new, dim_old))])
    weight = np.linalg.lstsq(above, below, rcond=None)[0]
    fitted = Ridge.fit(pairs, ridge.Settings(penalty), 0)
    assert_maps(fitted, weight, old.mean(axis=0) - new.mean(axis=0) @ weight)


@pytest.mark.parametrize("penalty", [1e-18, 1e-9])
def test_ridge_bears_a_tiny_penalty_with_pairs_that_leave_directions_open(penalty: float) -> None:
    """Ten pairs in 16 dimensions: least squares of the least length fits all of them."""
    pairs = pairs_of(16, 9, count=10)
    new, old = float64(pairs)
    centred = [one - one.mean(axis=0) for one in (new, old)]
    weight = scipy.linalg.lstsq(*centred)[0]
    fitted = Ridge.fit(pairs, ridge.Settings(penalty), 0)
    np.testing.assert_allclose(fitted.weight.numpy(), weight.T, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_low_rank_is_the_best_map_of_its_rank(rank: int) -> None:
    """By Eckart and Young: the truncated fit of the augmented least squares, found by another decomposition."""
    pairs = pairs_of(12, 9)
    new, old = float64(pairs)
    centred = new - new.mean(axis=0)
    penalty = 0.2 * (centred**2).mean() * len(new)
    above = np.vstack([centred, np.sqrt(penalty) * np.eye(12)])
    below = np.vstack([old - old.mean(axis=0), np.zeros((12, 9))])
    full = np.linalg.lstsq(above, below, rcond=None)[0]
    _, _, right = np.linalg.svd(above @ full)
    weight = full @ right[:rank].T @ right[:rank]
    fitted = LowRank.fit(pairs, low_rank.Settings(rank, 0.2), 0)
    assert_maps(fitted, weight, old.mean(axis=0) - new.mean(axis=0) @ weight)
    assert np.linalg.matrix_rank(fitted.weight.numpy(), tol=1e-5) == rank


def test_relative_ranks_as_the_products_of_cosines_with_anchors() -> None:
    pairs = pairs_of(12, 9)
    new, old = float64(pairs)
    queries, rows = new[:20], old[20:80]
    slow = (queries @ new.T) @ (old @ rows.T)
    mapped = Relative.fit(pairs, NoSettings(), 0)(torch.from_numpy(queries).float())
    found = (mapped @ torch.from_numpy(rows).float().T).numpy()
    slow /= np.linalg.norm(queries @ new.T @ old, axis=1, keepdims=True)
    np.testing.assert_allclose(found, slow, atol=1e-6)


def slow_lambda_orthogonal(fitted: LinearMap, batch: PairSample, how: lambda_orthogonal.Settings) -> float:
    """The loss of the docstring, one pair after the other."""
    weight, bias = fitted.weight.double().numpy(), fitted.bias.double().numpy()
    new, old = batch.new.double().numpy(), batch.old.double().numpy()
    assert batch.labels is not None
    labels = batch.labels.tolist()
    distance = contrast = 0.0
    for i, u in enumerate(new):
        mapped = weight @ u + bias
        distance += ((mapped - old[i]) ** 2).sum() / len(new)
        likeness = old @ mapped / np.linalg.norm(mapped) / how.temperature
        log_shares = likeness - np.log(np.exp(likeness).sum())
        same = [j for j in range(len(new)) if j == i or (labels[i] == labels[j] and labels[i] >= 0)]
        contrast -= np.mean(log_shares[same]) / len(new)
    short = weight if len(weight) <= weight.shape[1] else weight.T
    off = np.linalg.norm(short @ short.T - np.eye(len(short)))
    gate = 1 / (1 + np.exp(-how.sharpness * (off - how.threshold)))
    return float(how.stored * distance + how.contrast * contrast + how.orthogonality * gate * off)


@each_size
def test_the_loss_of_lambda_orthogonal(dim_new: int, dim_old: int) -> None:
    batch = pairs_of(dim_new, dim_old, 30).sample
    fitted = LinearMap(dim_new, dim_old)
    fitted.weight.data = torch.randn(dim_old, dim_new, generator=torch.Generator().manual_seed(3))
    fitted.bias.data += 0.1
    how = lambda_orthogonal.Settings(threshold=2.0, sharpness=0.7, stored=0.5, contrast=2.0, orthogonality=0.3)
    found = lambda_orthogonal_loss(fitted, batch, how)
    assert float(found) == pytest.approx(slow_lambda_orthogonal(fitted, batch, how), rel=1e-5)


def test_lambda_orthogonal_lowers_its_loss() -> None:
    pairs = pairs_of(16, 9, 1_100)
    how = lambda_orthogonal.Settings(epochs=5)
    begun, ended = Procrustes.fit(pairs, NoSettings(), 0), LambdaOrthogonal.fit(pairs, how, 0)
    assert lambda_orthogonal_loss(ended, pairs.sample, how) < lambda_orthogonal_loss(begun, pairs.sample, how)
    assert not any(weights.requires_grad for weights in ended.parameters())


def bent(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pairs between spaces that no linear map joins: the old space has the squares of the new one's coordinates."""
    new = unit(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)))
    return new, unit(torch.cat([new, 4 * new.square() - 0.6], dim=1))


def test_a_residual_map_learns_what_a_linear_one_cannot() -> None:
    pairs, (new, old) = Pairs.of(*bent(4_000, 0)), bent(500, 1)
    linear = Ridge.fit(pairs, ridge.Settings(0.1), 0)
    fitted = Residual.fit(pairs, residual.Settings(hidden=64, epochs=10), 0)
    with torch.inference_mode():
        cosines = {name: float((one(new) * old).sum(dim=1).mean()) for name, one in (("l", linear), ("r", fitted))}
    assert cosines["r"] > cosines["l"] + 0.05
    torch.testing.assert_close(fitted.weight, linear.weight)
    again = Residual.fit(pairs, residual.Settings(hidden=64, epochs=10), 0)
    torch.testing.assert_close(fitted.state_dict(), again.state_dict(), rtol=0, atol=0)


def test_sums_are_those_of_one_product_whatever_the_blocks() -> None:
    pairs = pairs_of(12, 9, 10_000)
    new, old = float64(pairs)
    sums = PairSums(12, 9)
    for start in (0, 1, 4_097, 9_000):
        end = {0: 1, 1: 4_097, 4_097: 9_000, 9_000: 10_000}[start]
        sums.add(pairs.sample.new[start:end], pairs.sample.old[start:end])
    np.testing.assert_allclose(sums.cross_covariance, np.cov(new.T, old.T, bias=True)[:12, 12:], atol=1e-12)
    np.testing.assert_allclose(sums.covariance, np.cov(new.T, bias=True), atol=1e-12)
    assert sums.variance_old == pytest.approx(old.var(axis=0).sum(), abs=1e-12)
    few = torch.zeros(10_000, dtype=torch.bool)
    few[::7] = True
    left, alone = pairs.without(few).sums, Pairs.of(pairs.sample.new[~few], pairs.sample.old[~few]).sums
    assert left.count == alone.count
    for name in ("new", "old", "new_old", "new_new"):
        torch.testing.assert_close(getattr(left, name), getattr(alone, name), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name != "auto"])
def test_every_choice_of_every_method_fits(name: str) -> None:
    adapter = ADAPTERS[name]
    pairs = pairs_of(16, 9, 600)
    for choice in adapter.choices(adapter.settings_type(), 16, 9):
        fitted = adapter.fit(pairs, choice, 0)
        with torch.inference_mode():
            mapped = fitted(pairs.sample.new)
        assert mapped.shape == (600, 9)
        torch.testing.assert_close(mapped.norm(dim=1), torch.ones(600))
