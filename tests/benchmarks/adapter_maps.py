"""Every closed-form map of `skipfill train`, fitted to pairs in memory, by the functions behind the command."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.methods.registry import ADAPTERS
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.choose import choose
from skipfill.compat.training.adapters.collect import Collected
from skipfill.compat.training.adapters.enough import options_for
from skipfill.compat.training.adapters.held_out import Candidate, best_of
from skipfill.compat.training.adapters.wrong_pairs import without_wrong

Vectors = NDArray[np.float32]
Map = Callable[[Vectors], Vectors]


def fitted_maps(
    new: Vectors, rows: NDArray[np.int64], gallery: Vectors, labels: NDArray[np.str_], seed: int
) -> tuple[dict[str, Map], str]:
    """Name -> map from (N, D) to (N, d), for every method that the pairs suffice for; and the name that `auto` takes.

    Args:
        new: (P, D) new vectors of the pairs.
        rows: (P,) their rows of the gallery.
        gallery: (G, d) stored vectors.
        labels: (G,) of the rows; empty for none.
    """
    tried = {name: kind for name, kind in ADAPTERS.items() if name != "auto"}
    of_classes = torch.from_numpy(np.unique(labels, return_inverse=True)[1][rows]) if len(labels) else None
    pairs = Pairs.of(torch.from_numpy(new), torch.from_numpy(gallery[rows]), of_classes)
    collected = Collected(pairs.sums, pairs.sample, np.arange(len(rows)), [])
    settings = {name: kind.settings_type() for name, kind in tried.items()}
    ids = pa.array(np.arange(len(rows)))
    opened = cast(
        Any,
        SimpleNamespace(
            adapters=tried,
            settings=settings,
            items=SimpleNamespace(ids=ids, where="the pairs", input_column="new"),
            gallery=SimpleNamespace(name="the gallery"),
        ),
    )
    judged = without_wrong(opened, cast(Any, None), collected, seed, Progress())
    options = options_for(opened, collected).tried
    chosen = choose(judged.pairs, options, Progress(), seed)
    maps = {}
    for name in {option.name: None for option in options}:
        best = best_of([Candidate(*one) for one in chosen.tried if one[0].name == name]).named
        maps[name] = chosen.fitted if best == chosen.option else best.adapter.fit(judged.pairs, best.settings, seed)
    return {name: _applied(fitted) for name, fitted in maps.items()}, chosen.option.name


def _applied(fitted: LinearMap) -> Map:
    def apply(vectors: Vectors) -> Vectors:
        with torch.inference_mode():
            mapped: Vectors = fitted(torch.from_numpy(vectors)).numpy()
        return mapped

    return apply
