"""Number of torch's threads in a training: the given one, or the one with the fastest steps.

If a small net shares the cores with other work, its threads wait for each other most of the time, and one thread is
faster than many. If nothing else runs, or the net is large, many are faster. So a training times several numbers, in
steps that it needs anyway. Sums in another order differ in their last bits, so weights are the same to the bit only for
the same given number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from skipfill.store.engine.threads import given_threads

MOST_THREADS = 1024  # a larger number is a mistake
FEWEST_STEPS, SHORTEST = 3, 0.1
"""Fewest steps and seconds for which a number is tried: beside other work, step times vary a lot."""
TOO_SLOW = 1.2
"""A search ends at a number whose steps take more than this many times as long as those of the best."""
REST = 20
"""The next search comes after this many times the duration of the last, so searches cost at most a few percent."""


class Threads:
    """The number of threads of a training's steps.

    A search tries the largest number, then half of it and so on, until a step takes more than 1.2 times as long as with
    the best. It is repeated, because other work on the machine comes and goes.

    Args:
        chosen: number to begin with.
        most: largest number to try; 0 to stay at `chosen`.
        rest: seconds before the first search.
        clock: returns the seconds since some fixed moment.

    Attributes:
        chosen: number for the steps that are not trials.
    """

    def __init__(
        self, chosen: int, most: int = 0, rest: float = 0.0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.chosen = chosen
        self._most = most
        self._clock = clock
        self._next_search = clock() + rest if most > 1 else math.inf
        self._began = 0.0
        self._on_trial = 0
        self._steps: list[float] = []
        self._means: dict[int, float] = {}

    @contextmanager
    def for_step(self) -> Iterator[None]:
        """A context for one step of the training: it sets the number of threads, and times the step in a trial."""
        began = self._clock()
        if not self._on_trial and began >= self._next_search:
            self._began, self._means, self._on_trial = began, {}, self._most
        count = self._on_trial or self.chosen
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
        yield
        if self._on_trial:
            self._steps.append(self._clock() - began)
            if len(self._steps) > FEWEST_STEPS and sum(self._steps[1:]) >= SHORTEST:
                self._end_trial()

    def _end_trial(self) -> None:
        """Continue with half of the threads, or end the search and choose."""
        _, *steps = self._steps  # the first step also starts the threads
        count, mean = self._on_trial, sum(steps) / len(steps)
        self._steps, self._means[count] = [], mean
        self._on_trial = count // 2 if mean <= TOO_SLOW * min(self._means.values()) else 0
        if not self._on_trial:
            self.chosen = min(self._means, key=lambda tried: self._means[tried])
            now = self._clock()
            self._next_search = now + REST * (now - self._began)


def is_given() -> bool:
    """Whether OMP_NUM_THREADS sets the number of torch's threads."""
    return given_threads() > 0


@contextmanager
def threads_for(given: int, before: int, *, alone_on_cpu: bool) -> Iterator[Threads]:
    """The threads of a training. At the end, torch has as many as at the beginning.

    Args:
        given: number that the user asks for; 0 for none. Then the environment decides, else timing.
        before: number with which a resumed training ended; 0 for a new training.
        alone_on_cpu: whether the duration of a step depends only on this process and the CPU. If not, no steps are
            timed.
    """
    torchs = torch.get_num_threads()
    try:
        if given or is_given() or not alone_on_cpu:
            yield Threads(given or torchs)
        else:
            yield Threads(before or torchs, torchs, REST * SHORTEST if before else 0.0)
    finally:
        torch.set_num_threads(torchs)
