"""The own coordinates of a `gallery` embedding, against scikit-learn's principal components."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.mlp import Settings as MlpSettings
from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.methods.gallery.memory import MOST
from skipfill.compat.methods.gallery.own_space import LOOKS, TELLING, OwnSpace
from skipfill.compat.nn.normalize import unit
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.data.unlabelled import some_trained

FEATURES, TOLD, DIM = 12, 5, 3


pytestmark = pytest.mark.usefixtures("double_precision")


def drawn(count: int) -> tuple[Tensor, Tensor]:
    features = torch.randn(count, FEATURES) * torch.linspace(2, 0.2, FEATURES) + 1
    return features, features @ torch.randn(FEATURES, TOLD)


def test_before_it_has_learned_it_is_the_last_coordinates_of_what_tells_classes_apart() -> None:
    features, telling = drawn(9)
    torch.testing.assert_close(OwnSpace(FEATURES, TOLD, DIM)(features, telling), unit(telling[:, -DIM:]))


def test_it_is_the_principal_components_of_both_side_by_side() -> None:
    features, telling = drawn(200)
    trained, asked = slice(150), slice(150, 200)
    space = OwnSpace(FEATURES, TOLD, DIM)
    space.learn(features[trained], telling[trained])
    found = space(features[asked], telling[asked])

    normed = unit(features).numpy()
    looks = PCA(2 * DIM).fit(normed[trained])
    # scikit-learn's variance is that of a sample.
    scaled = looks.transform(normed) * (looks.explained_variance_ * 149 / 150) ** -0.25
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    both = np.hstack([np.sqrt(TELLING) * unit(telling).numpy(), np.sqrt(LOOKS) * scaled])
    slow = PCA(DIM).fit(both[trained]).transform(both[asked])
    slow /= np.linalg.norm(slow, axis=1, keepdims=True)
    # Cosines: each direction may point either way.
    np.testing.assert_allclose((found @ found.T).numpy(), slow @ slow.T, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(50))


@pytest.mark.parametrize("count", [1, 2])
def test_of_few_items_it_learns_nothing_that_is_not_finite(count: int) -> None:
    features, telling = drawn(count)
    space = OwnSpace(FEATURES, TOLD, DIM)
    space.learn(features, telling)
    assert space(*drawn(5)).isfinite().all()


def test_it_learns_from_items_that_are_trained_on() -> None:
    count = MOST + 500
    prepared = Prepared(np.arange(count, dtype=np.float32).reshape(-1, 1))
    held_out = torch.arange(0, count, 30)
    data = TrainingData(prepared, torch.zeros(count, dtype=torch.long), validation=held_out)

    class Same(Mlp):
        def forward(self, batch: Tensor) -> Tensor:
            return batch

    found = some_trained(data, Same(MlpSettings(inputs=1)), MOST, Progress())[:, 0].int().tolist()
    assert len(set(found)) == len(found) == min(MOST, count - len(held_out))
    assert not set(found) & set(held_out.tolist())


@pytest.mark.parametrize("count", [2, 4, 8, 40])
def test_directions_in_which_no_item_differs_are_left_out(count: int) -> None:
    """In single precision, as trainings are: LAPACK then fails on many of these."""
    for seed in range(20):
        torch.manual_seed(seed)
        features = torch.zeros(count, 64)
        features[:, :10] = torch.randn(count, 10).relu()
        space = OwnSpace(64, 40, 32).float()
        space.learn(features.float(), torch.randn(count, 40).float())
        assert (space.looks != 0).any(dim=0).sum() <= min(10, count - 1)
        assert space(torch.randn(5, 64).float(), torch.randn(5, 40).float()).isfinite().all()
