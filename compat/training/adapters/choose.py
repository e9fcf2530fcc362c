"""Chooses a map among methods and their settings by held-out retrieval, and fits it to all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skipfill.compat.methods.adapters.adapter import Adapter
from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.held_out import (
    Candidate,
    HeldOutRetrieval,
    Measured,
    best_of,
    held_out,
)


@dataclass(frozen=True)
class Option:
    """One method with one value of each of its settings.

    Attributes:
        name: name of the method.
        adapter: the method.
    """

    name: str
    adapter: type[Adapter]
    settings: Any


@dataclass(frozen=True)
class Chosen:
    """The map that was chosen.

    Attributes:
        option: its method and settings.
        fitted: the map, fitted to all pairs.
        measured: its held-out retrieval, when it was fitted to the other pairs only.
        queries: number of pairs held out.
        tried: every option with its measurement, in order.
    """

    option: Option
    fitted: LinearMap
    measured: Measured
    queries: int
    tried: list[tuple[Option, Measured]]


def choose(
    pairs: Pairs,
    options: Sequence[Option],
    progress: Progress,
    seed: int,
) -> Chosen:
    """Measure every option on held-out pairs, take the best, and fit it to all pairs.

    Args:
        options: the simplest first; at least one.
        seed: decides the pairs held out, and the fits of methods that draw at random.
    """
    folds = held_out(len(pairs.sample), seed)
    steps = len(folds) * len(options)
    progress.start(f"choosing among {len(options)} maps" if len(options) > 1 else "measuring the map", steps)
    measured: list[list[Measured]] = [[] for _ in options]
    for mask in folds:
        fitting = pairs.without(mask)
        retrieval = HeldOutRetrieval(pairs.sample.at(mask), fitting.sample)
        for option, of_option in zip(options, measured, strict=True):
            of_option.append(retrieval.measure(option.adapter.fit(fitting, option.settings, seed)))
            progress.advance(1)
    candidates = [Candidate(option, Measured.joined(parts)) for option, parts in zip(options, measured, strict=True)]
    best = best_of(candidates)
    fitted = best.named.adapter.fit(pairs, best.named.settings, seed)
    tried = [(one.named, one.measured) for one in candidates]
    return Chosen(best.named, fitted, best.measured, sum(int(mask.sum()) for mask in folds), tried)
