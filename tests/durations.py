"""Durations of tests: the longest start first, and `-m "not slow"` leaves the slow ones out.

tests/durations.json is written by `python -m pytest -n 2 --record-durations`. It holds seconds of processor time, of a
test and of the processes that it starts, which are about the same on a busy machine. A test that is not in it counts
as quick; a test that takes long because it waits has the mark `slow` in its file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.warm import processor_seconds_of_forks

RECORDED = Path(__file__).with_suffix(".json")
PROPERTY = "processor seconds"
LEAST = 0.3  # seconds; quicker tests are not recorded
SLOW = 0.5  # seconds


def arrange(items: list[pytest.Item]) -> None:
    """Mark the tests that are slow, and put the longest first: several workers then end together."""
    seconds = _recorded()
    for item in items:
        if seconds.get(item.nodeid, 0) >= SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: -seconds.get(item.nodeid, 0))


@contextmanager
def measured(item: pytest.Item) -> Iterator[None]:
    """Note the processor time of a test, for its report."""
    before = _spent()
    yield
    item.user_properties.append((PROPERTY, _spent() - before))


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + processor_seconds_of_forks()


def _recorded() -> dict[str, float]:
    found: dict[str, float] = json.loads(RECORDED.read_text())
    return found


class Recorder:
    """Writes the seconds of the tests that were run; those of others stay as they were."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = round(dict(report.user_properties)[PROPERTY], 1)

    def pytest_sessionfinish(self) -> None:
        together = sorted((_recorded() | self.seconds).items())
        kept = {test: seconds for test, seconds in together if seconds >= LEAST}
        RECORDED.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n")
