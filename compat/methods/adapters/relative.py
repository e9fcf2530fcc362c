"""Relative representations, in their linear approximation: an item is described by its cosines with shared anchors."""

from __future__ import annotations

from typing import Any

import torch

from skipfill.compat.methods.adapters.adapter import Adapter, NoSettings, linear_map
from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.nn.view_maps import LinearMap


class Relative(Adapter):
    """W = sum v_a u_a^T over the anchors a, which are all the pairs.

    A query's cosines with the anchors' new vectors, times a row's cosines with their stored vectors, are
    sum_a (q . u_a)(g . v_a) = (q U^T V) . g. The published score divides by the length of (g . v_a)_a as well, which
    differs by stored row: no map of queries can include it.

    Source: Moschella et al. 2023, "Relative representations enable zero-shot latent space communication",
    arXiv 2209.15430.
    """

    summary = "scores by cosines with shared anchors, as a linear map"
    source = "Moschella et al. 2023, 2209.15430, linear approximation"
    needs_full_rank = True
    needs_products = False
    settings_type = NoSettings

    @classmethod
    def fit(cls, pairs: Pairs, settings: Any, seed: int) -> LinearMap:
        products, zero = pairs.sums.new_old / pairs.sums.count, torch.zeros_like
        return linear_map(products, zero(pairs.sums.new), zero(pairs.sums.old))
