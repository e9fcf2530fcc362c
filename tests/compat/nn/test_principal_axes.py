"""Principal axes against scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA

from skipfill.compat.nn.principal_axes import principal_axes


def test_axes_of_centred_vectors_are_those_of_a_pca() -> None:
    vectors = torch.randn(200, 12, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 13)
    centred = vectors - vectors.mean(dim=0)
    squares, axes = principal_axes(centred, 5)
    theirs = PCA(5, svd_solver="full").fit(vectors.double().numpy())
    np.testing.assert_allclose(squares.flip(0), theirs.explained_variance_ * 199 / 200, rtol=1e-5)
    cosines = np.abs((axes.flip(1).double().numpy() * theirs.components_.T).sum(axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-5)


def test_a_matrix_that_is_not_of_full_rank_has_axes_too() -> None:
    vectors = torch.zeros(10, 40)
    vectors[:, :3] = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    squares, axes = principal_axes(vectors, 8)
    assert squares.shape == (8,)
    assert axes.isfinite().all()
    assert int((squares > 1e-6).sum()) == 3
