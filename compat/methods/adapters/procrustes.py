"""Orthogonal Procrustes: the rotation that brings the new space nearest to the old one."""

from __future__ import annotations

from typing import Any

import torch

from skipfill.compat.methods.adapters.adapter import Adapter, NoSettings, linear_map
from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.nn.view_maps import LinearMap


class Procrustes(Adapter):
    """W = Q P^T of the singular value decomposition P S Q^T of the cross-covariance, semi-orthogonal for D != d.

    The pairs are centred: u -> n((u - mean u) P Q^T + mean v).

    Source: Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem".
    """

    summary = "the rotation that brings the new space nearest to the old; no labels, no training"
    source = "Schönemann 1966, centred"
    needs_full_rank = True
    needs_products = False
    settings_type = NoSettings

    @classmethod
    def fit(cls, pairs: Pairs, settings: Any, seed: int) -> LinearMap:
        left, _, right = torch.linalg.svd(pairs.sums.cross_covariance, full_matrices=False)
        return linear_map(left @ right, pairs.sums.mean_new, pairs.sums.mean_old)
