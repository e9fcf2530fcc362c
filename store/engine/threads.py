"""Threads that share the products of a search or a ranking among them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")


def given_threads() -> int:
    """The number of threads that OMP_NUM_THREADS gives, the first one of a list; 0 if it gives none."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(given) if given.isdecimal() else 0


def processors() -> int:
    """The number of threads to use: OMP_NUM_THREADS, or else the number of processors that the process may use.

    A limit on processor time, as containers have, is not a number of processors: it is not looked at.
    """
    if hasattr(os, "sched_getaffinity"):
        return given_threads() or len(os.sched_getaffinity(0))
    return given_threads() or os.cpu_count() or 1


class WhileAsked:
    """A setting of the whole process that holds as long as anyone asks for it.

    A service answers several callers at once: the first one changes the setting, and the last one restores it.
    """

    def __init__(self, begin: Callable[[], T], end: Callable[[T], object]) -> None:
        """Set nothing yet.

        Args:
            begin: changes the setting, and returns what it was.
            end: restores it.
        """
        self._begin, self._end = begin, end
        self._lock, self._askers = Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A context in which the setting holds."""
        with self._lock:
            if not self._askers:
                self._before = self._begin()
            self._askers += 1
        try:
            yield
        finally:
            with self._lock:
                self._askers -= 1
                if not self._askers:
                    self._end(self._before)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


one_thread_of_blas = WhileAsked(lambda: _blas().limit(limits=1), lambda limited: limited.restore_original_limits())


@contextmanager
def product_threads() -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, one for each processor, in which every matrix product takes one thread.

    The threads that numpy's own library (BLAS) adds to a product wait for each other. Beside a thread that reads a
    file, such a product takes up to twice as long.
    """
    with one_thread_of_blas(), ThreadPoolExecutor(processors()) as threads:
        yield threads
