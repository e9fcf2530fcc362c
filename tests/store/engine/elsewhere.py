"""An engine as a cluster is one: all that tasks take and give is pickled, and nothing else of this process is there."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skipfill.store.engine.engine import Progress, R, Run, S, T
from skipfill.store.errors import SkipfillError


@dataclass
class Elsewhere:
    """Runs tasks one after the other in this process.

    Attributes:
        tasks: how many to cut work into.
        run: how many were run.
    """

    tasks: int = 5
    run: int = 0

    def map(
        self, run: Run[S, T, R], shared: S, tasks: Iterable[T], progress: Progress = lambda done: None
    ) -> Iterator[R]:
        common = pickle.dumps((run, shared))
        for task in tasks:
            self.run += 1
            there, values = pickle.loads(common)
            try:
                result = there(values, pickle.loads(pickle.dumps(task)), progress)
                result = list(result) if isinstance(result, Iterator) else result
            except SkipfillError as error:
                raise pickle.loads(pickle.dumps(error)) from None
            yield pickle.loads(pickle.dumps(result))
