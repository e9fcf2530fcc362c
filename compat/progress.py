"""How long work tells a progress bar where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from skipfill.compat.training.loop.schedule import Watcher


@dataclass(frozen=True)
class Stages:
    """Called as the work goes on: `start(what, total)`, then `advance(n)`; `training` in a training."""

    start: Callable[[str, int], None] = lambda what, total: None
    advance: Callable[[int], None] = lambda count: None
    training: Watcher = field(default_factory=Watcher)
