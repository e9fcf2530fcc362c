"""Tasks on a Ray cluster: Ray distributes them, and repeats those of workers and machines that it loses."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from typing import Any

from skipfill.store.engine.engine import Engine, Progress, R, Run, S, T
from skipfill.store.errors import Advice, BadInput, Parameter, SkipfillError, reason

TASKS_AHEAD = 4
"""Tasks given to Ray for each processor, the running one included."""
MOST_RETRIES = 20
"""Most times that a task whose worker was lost is repeated."""
ANSWER_WITHIN = 5.0
"""Seconds to wait for a cluster's first answer."""


@contextmanager
def ray_cluster(address: str = "") -> Iterator[Engine]:
    """Join a cluster and leave it at the end. A cluster that the process had joined before is used and not left.

    Args:
        address: `HOST:PORT` of the cluster, or `auto` for the one of this machine. Empty: the one that `RAY_ADDRESS`
            names, or that of this machine, or a new one on this machine alone.

    Raises:
        BadInput: Ray is not installed, or there is no cluster.
    """
    ray = _ray_module()
    if ray.is_initialized():
        yield _Ray(ray)
        return
    _join(ray, address)
    try:
        yield _Ray(ray)
    finally:
        ray.shutdown()


def _ray_module() -> Any:
    try:
        import ray
    except ImportError as error:
        raise BadInput(
            Parameter("engine", "ray"),
            expected="Ray to run tasks with",
            found="none installed",
            hint=Advice("install", extra="ray"),
        ) from error
    return ray


def _join(ray: Any, address: str) -> None:
    named = address or os.environ.get("RAY_ADDRESS", "")
    where = Parameter("address", named)
    try:
        _refuse_silent(named)
        ended = signal.getsignal(signal.SIGTERM)
        # Its log lines would appear between those of the command.
        ray.init(address=address or None, log_to_driver=False, logging_level="critical")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended)  # Ray replaces the handler
    except (Exception, SystemExit) as error:  # Ray raises many types of error, and may even exit
        found = "no answer" if isinstance(error, SystemExit) else reason(error)
        raise BadInput(where, expected="a Ray cluster", found=found, hint=Advice("start_ray")) from error


def _refuse_silent(address: str) -> None:
    """Raise `OSError` where nothing listens at `HOST:PORT`: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_WITHIN).close()


class _Ray:
    """A cluster that this process has joined."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote = ray.remote(_run).options(num_cpus=1, max_retries=MOST_RETRIES)

    @property
    def tasks(self) -> int:
        return TASKS_AHEAD * self._processors

    @property
    def _processors(self) -> int:
        """The number that the cluster has now; it may grow."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def map(
        self, run: Run[S, T, R], shared: S, tasks: Iterable[T], progress: Progress = lambda done: None
    ) -> Iterator[R]:
        # From a list, Ray passes on the reference instead of the value, so a worker gets the value only once.
        held = [self._ray.put((run, shared))]
        remaining, begun = iter(tasks), deque[Any]()
        release = version("skipfill")
        try:
            while True:
                following = islice(remaining, max(0, self.tasks - len(begun)))
                begun.extend(self._remote.remote(held, release, task) for task in following)
                if not begun:
                    return
                ended = self._result(begun.popleft())
                if isinstance(ended, SkipfillError):
                    raise ended
                progress(ended.progress)
                yield ended.result
        finally:
            for reference in begun:  # after an error, or if the caller wants no more
                self._ray.cancel(reference)

    def _result(self, reference: Any) -> _Ended | SkipfillError:
        """The result of a task, or its error.

        Raises:
            BadInput: the cluster was lost, or its machines lack skipfill.
        """
        try:
            ended: _Ended | SkipfillError = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ImportError):
                raise _other_release(f"on one of its machines: {reason(error.cause)}") from error
            raise
        except self._ray.exceptions.RayError as error:
            raise BadInput("the Ray cluster", expected="every task to finish", found=reason(error)) from error
        return ended


@dataclass(frozen=True)
class _Ended:
    """The result of a task, and the progress that it made."""

    result: Any
    progress: int


_shared_by_reference: dict[str, Any] = {}
"""On a worker: reference -> the value that the tasks of the latest `map` share."""


def _run(held: list[Any], release: str, task: Any) -> _Ended | SkipfillError:
    """Run a task on a worker. Its error is returned, because Ray would wrap one that is raised."""
    import ray

    if version("skipfill") != release:
        return _other_release(f"release {version('skipfill')} on one of its machines")
    [reference] = held
    if reference.hex() not in _shared_by_reference:
        _shared_by_reference.clear()
        _shared_by_reference[reference.hex()] = ray.get(reference)
    run, shared = _shared_by_reference[reference.hex()]
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        done += more

    try:
        result = run(shared, task, progress)
        if isinstance(result, Iterator):
            result = list(result)
    except SkipfillError as error:
        return error
    return _Ended(result, done)


def _other_release(found: str) -> BadInput:
    return BadInput(
        "the Ray cluster",
        expected=f"skipfill {version('skipfill')} on every machine",
        found=found,
        hint="Install the same release on each.",
    )
