"""Documents of the commands that make a store, and look after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skipfill.store.maintenance.cached_copies import CachedCopies
from skipfill.store.maintenance.environment import Environment
from skipfill.store.maintenance.prune import Leftover


@dataclass(frozen=True)
class InitDocument:
    """A store.

    Attributes:
        store: its folder or address.
        already: whether it was there before.
    """

    store: str
    already: bool


@dataclass(frozen=True)
class ThreadsDocument:
    """Threads of torch.

    Attributes:
        count: OMP_NUM_THREADS; where it is not set, the number of processors that the process may use.
        given: whether OMP_NUM_THREADS is set; if not, training also tries fewer threads.
    """

    count: int
    given: bool


@dataclass(frozen=True)
class FindingDocument:
    """One thing that the diagnosis found.

    Attributes:
        kind: a `problem` keeps something from working; a `note` does not.
        where: the part of the store or of the environment.
        what: the state that was found, and the one that was expected.
        todo: the remedy; empty where none is needed.
    """

    kind: Literal["problem", "note"]
    where: str
    what: str
    todo: str


@dataclass(frozen=True)
class DoctorDocument:
    """The state of a store and of the environment.

    Attributes:
        verdict: fail if a problem was found; notes and leftovers are not problems.
        configuration: path of the file that sets options; null for none.
        threads: of torch.
        environment: Python, the system, and the versions of packages.
        store: its folder or address.
        writable: whether this user can write to the store; null on object storage, where only writing tells.
        free_bytes: on the store's disk, for this user; null on object storage.
        deep: whether every file of every model and gallery was read.
        findings: problems and notes.
        cache: this user's local copies of galleries and overlays, for all stores.
        leftovers: files of runs that were killed or still run. They are not a problem; prune removes them.
        trainings: checkpoints of trainings that were interrupted or still run.
    """

    verdict: Literal["pass", "fail"]
    configuration: str | None
    threads: ThreadsDocument
    environment: Environment
    store: str
    writable: bool | None
    free_bytes: int | None
    deep: bool
    findings: list[FindingDocument]
    cache: CachedCopies
    leftovers: list[Leftover]
    trainings: list[Leftover]


@dataclass(frozen=True)
class PruneDocument:
    """Leftover files that were removed, or would be.

    Attributes:
        leftovers: the files.
        bytes: their total size.
        cache: this user's local copies that were removed, or would be; null without `--cache`.
        dry_run: whether nothing was removed.
    """

    leftovers: list[Leftover]
    bytes: int
    cache: CachedCopies | None
    dry_run: bool
