"""Progress of long work, reported to a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Called as the work goes on: `start(what, total)` for each stage, then `advance(n)`."""

    start: Callable[[str, int], None] = lambda what, total: None
    advance: Callable[[int], None] = lambda count: None
