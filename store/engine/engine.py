"""An engine runs tasks: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int], None]
"""Called with the number of things done since the last call."""
Run = Callable[[S, T, Progress], R]
"""Runs a task: what all tasks share, the task, and its progress -> its result."""


class Engine(Protocol):
    """Runs tasks that do not depend on each other."""

    @property
    def tasks(self) -> int:
        """The number of tasks to split work into; 1 to leave it whole."""
        ...

    def map(
        self, run: Run[S, T, R], shared: S, tasks: Iterable[T], progress: Progress = lambda done: None
    ) -> Iterator[R]:
        """Run tasks; their results come in the order of the tasks.

        Args:
            run: a function at the top level of a module, so that every machine can import it. If it returns an
                iterator, another machine makes a list of it.
            shared: a value that all tasks take; it must not be changed.

        Raises:
            SkipfillError: a task raised it, or the cluster was lost.
        """
        ...


class Local:
    """Runs tasks in this process, each when its result is asked for."""

    tasks = 1

    def map(
        self, run: Run[S, T, R], shared: S, tasks: Iterable[T], progress: Progress = lambda done: None
    ) -> Iterator[R]:
        return (run(shared, task, progress) for task in tasks)


LOCAL: Engine = Local()
