"""Threads that share the products of a search or a ranking among them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController


def given_threads() -> int:
    """The number of threads that OMP_NUM_THREADS gives; 0 if it gives none."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(given) if given.isdecimal() else 0


def processors() -> int:
    """The number of threads to use: OMP_NUM_THREADS, or else the number of processors that the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return given_threads() or len(os.sched_getaffinity(0))
    return given_threads() or os.cpu_count() or 1


@contextmanager
def product_threads() -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, one for each processor, in which every matrix product takes one thread.

    The threads that numpy's own library (BLAS) adds to a product wait for each other. Beside a thread that reads a
    file, such a product takes up to twice as long.
    """
    with _SHARED.one_thread_a_product(), ThreadPoolExecutor(processors()) as threads:
        yield threads


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


class _Blas:
    """BLAS has one thread as long as anyone asks for it; a service answers several callers at once."""

    def __init__(self) -> None:
        self._lock, self._askers = Lock(), 0

    @contextmanager
    def one_thread_a_product(self) -> Iterator[None]:
        with self._lock:
            if not self._askers:
                self._limited = _blas().limit(limits=1)
            self._askers += 1
        try:
            yield
        finally:
            with self._lock:
                self._askers -= 1
                if not self._askers:
                    self._limited.restore_original_limits()


_SHARED = _Blas()
