"""Held-out retrieval of maps beside a slow formula, and what decides between two maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from skipfill.compat.methods.adapters.adapter import NoSettings
from skipfill.compat.methods.adapters.pairs import Pairs, PairSample
from skipfill.compat.methods.adapters.procrustes import Procrustes
from skipfill.compat.methods.adapters.relative import Relative
from skipfill.compat.nn.normalize import unit
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.choose import Option, choose
from skipfill.compat.training.adapters.held_out import (
    FEWEST_LABELLED,
    Candidate,
    HeldOutRetrieval,
    Measured,
    best_of,
    held_out,
)

DIM = 8


def sample_of(count: int, seed: int, labels: Tensor | None = None) -> PairSample:
    """Two noisy views of the same hidden vectors."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, DIM, generator=random)
    turn = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0)))[0]
    noise = 0.5 * torch.randn(2, count, DIM, generator=random)
    return PairSample(unit(hidden + noise[0]), unit(hidden @ turn + noise[1]), labels)


def some_map() -> LinearMap:
    fitted = LinearMap(DIM, DIM)
    fitted.weight.data = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(5))
    fitted.bias.data = 0.1 * torch.randn(DIM, generator=torch.Generator().manual_seed(6))
    return fitted


def test_many_pairs_give_a_fifth_once() -> None:
    for pairs, count in ((1_000, 200), (3_000, 600), (20_000, 1_000)):
        [chosen] = held_out(pairs, 0)
        assert (len(chosen), int(chosen.sum())) == (pairs, count)


@pytest.mark.parametrize("pairs", [32, 150, 993])
def test_of_few_pairs_each_is_held_out_once(pairs: int) -> None:
    folds = held_out(pairs, 3)
    assert torch.stack(folds).sum(dim=0).eq(1).all()
    assert len(folds) == 5
    assert all(abs(int(chosen.sum()) - pairs / 5) < 1 for chosen in folds)
    assert all(torch.equal(one, other) for one, other in zip(folds, held_out(pairs, 3), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(folds, held_out(pairs, 4), strict=True))


def test_retrieval_is_that_of_a_slow_formula() -> None:
    """Some queries without a label, some whose class has no row, and rows without labels."""
    random = np.random.default_rng(0)
    of_queries, of_rows = random.integers(-1, 7, 60), random.integers(-1, 5, 90)
    queries = sample_of(60, 1, torch.from_numpy(of_queries))
    rows = sample_of(90, 2, torch.from_numpy(of_rows))
    fitted = some_map()
    measured = HeldOutRetrieval(queries, rows).measure(fitted)
    for at in range(60):
        mapped = queries.new[at].numpy() @ fitted.weight.numpy().T + fitted.bias.numpy()
        scores = rows.old.numpy() @ (mapped / np.linalg.norm(mapped))
        wanted = set(np.argsort(-(rows.new.numpy() @ queries.new[at].numpy()))[:10])
        found = np.argsort(-scores)
        assert float(measured.agreement[at]) == pytest.approx(len(wanted & set(found[:10])) / 10)
        own = queries.old[at].numpy() @ (mapped / np.linalg.norm(mapped))
        assert float(measured.reciprocal_rank[at]) == pytest.approx(1 / (1 + (scores > own).sum()))
        if of_queries[at] < 0 or of_queries[at] not in of_rows:
            assert measured.right_class[at].isnan()
        else:
            assert float(measured.right_class[at]) == float(of_rows[found[0]] == of_queries[at])
    assert 0 < int(measured.right_class.isnan().sum()) < 60


def measured_as(agreement: float, right_class: float, labelled: int) -> Measured:
    of_labels = torch.full((100,), torch.nan)
    of_labels[:labelled] = right_class
    return Measured(torch.full((100,), agreement), torch.ones(100), of_labels)


@pytest.mark.parametrize(
    ("labelled", "taken"), [(100, "right"), (FEWEST_LABELLED, "right"), (FEWEST_LABELLED - 1, "alike"), (0, "alike")]
)
def test_labels_decide_where_enough_pairs_have_them(labelled: int, taken: str) -> None:
    candidates = [
        Candidate("alike", measured_as(0.9, 0.2, labelled)),
        Candidate("right", measured_as(0.1, 0.8, labelled)),
        Candidate("right too", measured_as(0.1, 0.8, labelled)),  # of equal ones the first
    ]
    assert best_of(candidates).named == taken
    assert ("right_class" in candidates[0].measured.means()) == (labelled >= FEWEST_LABELLED)


@pytest.mark.parametrize("count", [100, 2_000])
def test_the_better_map_is_chosen_and_fitted_to_all_pairs(count: int) -> None:
    sample = sample_of(count, 4)
    pairs = Pairs.of(sample.new, sample.old)
    options = [Option("relative", Relative, NoSettings()), Option("procrustes", Procrustes, NoSettings())]
    chosen = choose(pairs, options, Progress(), 0)
    assert chosen.option.name == "procrustes"
    assert chosen.queries == (100 if count == 100 else 400)
    assert [option.name for option, _ in chosen.tried] == ["relative", "procrustes"]
    assert torch.equal(chosen.fitted.weight, Procrustes.fit(pairs, NoSettings(), 0).weight)
