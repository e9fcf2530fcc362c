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
        name: of the method.
    """

    name: str
    adapter: type[Adapter]
    settings: Any


@dataclass(frozen=True)
class Chosen:
    """The map that was chosen.

    Attributes:
        option: its method and settings.
        fitted: to all pairs.
        measured: on the held-out pairs, fitted to the others.
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
    """Measure every option on held-out pairs, take the simplest of the best, and fit it to all pairs.

    Args:
        options: the simplest first; at least one.
        seed: of the pairs held out and of the fits.
    """
    chosen = held_out(len(pairs.sample), seed)
    queries, fitting = pairs.sample.at(chosen), pairs.without(chosen)
    retrieval = HeldOutRetrieval(queries, fitting.sample)
    progress.start(f"choosing among {len(options)} maps" if len(options) > 1 else "measuring the map", len(options))
    candidates = []
    for option in options:
        fitted = option.adapter.fit(fitting, option.settings, seed)
        candidates.append(Candidate(option, retrieval.measure(fitted)))
        progress.advance(1)
    best = best_of(candidates)
    fitted = best.named.adapter.fit(pairs, best.named.settings, seed)
    tried = [(one.named, one.measured) for one in candidates]
    return Chosen(best.named, fitted, best.measured, int(chosen.sum()), tried)
