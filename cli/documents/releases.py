"""Documents of the commands that release models, and tell of releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from skipfill.store.checks.entry import Terms
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.requirement import Verdict
from skipfill.store.galleries.log import Version
from skipfill.store.parquet.vectors import Similarity
from skipfill.store.releases.plan import Plan

VersionValues = Annotated[dict[str, Any], Version]
"""A version as JSON values, with the fields of its format: see `Version.as_document`."""


@dataclass(frozen=True)
class PlanDocument:
    """A plan of a swap.

    Attributes:
        plan: as `plan -o` writes it.
        policy: of the gallery, which the swap enforces.
    """

    plan: Annotated[dict[str, Any], Plan]
    policy: Policy


@dataclass(frozen=True)
class RollbackEntry:
    """A rollback that left a model.

    Attributes:
        version: number of the entry in the gallery's log.
        by: user who rolled back.
        reason: given for it; empty for none.
    """

    version: int
    by: str
    reason: str


RollbackValues = Annotated[dict[str, Any], RollbackEntry]


@dataclass(frozen=True)
class ModelLeft:
    """A model that rollbacks left.

    Attributes:
        model: its name.
        rollbacks: that left it, the newest first.
    """

    model: str
    rollbacks: list[RollbackValues]


@dataclass(frozen=True)
class GroundsOfRelease:
    """The grounds of a release.

    Attributes:
        reason: given for the release; empty for none.
        forced_against: checks that the release was forced against, each with its verdict; null where they cannot be
            read.
        rolled_back: the models that the rollbacks since the last swap left, the last one first.
        came_back_after: the rollbacks that had left the released model before, the newest first.
    """

    reason: str
    forced_against: list[str] | None
    rolled_back: list[Annotated[dict[str, Any], ModelLeft]]
    came_back_after: list[RollbackValues]


@dataclass(frozen=True)
class SwapDocument(GroundsOfRelease):
    """A swap that was done, or would be.

    Attributes:
        gallery: name of the gallery.
        version: the entry that the swap adds to its log.
        dry_run: whether nothing was written.
        already: false, because queries used another release before.
    """

    gallery: str
    version: Version
    dry_run: bool
    already: Literal[False]


@dataclass(frozen=True)
class AlreadySwappedDocument:
    """A swap with nothing to do.

    Attributes:
        gallery: name of the gallery.
        version: the newest entry of its log.
        dry_run: whether `--dry-run` was given.
        already: true, because queries use the model already.
        checks_against: later checks that speak against the release, each with its verdict.
    """

    gallery: str
    version: Version
    dry_run: bool
    already: Literal[True]
    checks_against: list[str]


@dataclass(frozen=True)
class RollbackDocument:
    """A rollback that was done, or would be.

    Attributes:
        gallery: name of the gallery.
        version: the entry that the rollback adds to its log; the newest one if there is nothing to do.
        dry_run: whether nothing was written.
        already: whether there was nothing to do, because queries use that model already.
        origin: number of the version that brought the release that comes back.
        checks_against: later checks that speak against that release, each with its verdict; null where they cannot be
            read.
    """

    gallery: str
    version: Version
    dry_run: bool
    already: bool
    origin: int
    checks_against: list[str] | None


@dataclass(frozen=True)
class SpaceIdentity:
    """The space of a gallery's vectors.

    Attributes:
        name: of the space.
        dim: number of coordinates.
        metric: similarity; in every metric, a higher score is nearer.
        fingerprint: of the encoder that fills the space; empty when it is known only by its vectors.
    """

    name: str
    dim: int
    metric: Similarity
    fingerprint: str


@dataclass(frozen=True)
class InForce:
    """The release and the space that queries of a gallery use.

    Attributes:
        gallery: name of the gallery.
        version: the newest entry of its log.
        space: of the stored vectors.
        policy: the one in force.
    """

    gallery: str
    version: VersionValues
    space: SpaceIdentity
    policy: Policy


@dataclass(frozen=True)
class StatusDocument(InForce, GroundsOfRelease):
    """The release that queries of a gallery use, and the checks that speak against it.

    Attributes:
        checks_against: checks after the release that speak against it, each with its verdict; null where they cannot
            be read.
    """

    checks_against: list[str] | None


@dataclass(frozen=True)
class StatusLine(InForce, GroundsOfRelease):
    """One line of `--watch`: the release that queries of a gallery use now."""


@dataclass(frozen=True)
class StatusOfAllDocument:
    """The release that queries of each gallery use.

    Attributes:
        galleries: gallery -> the newest entry of its log.
        forced_against: gallery -> checks that its release was forced against; null where they cannot be read.
        grounds: gallery -> the grounds of its release.
        faults: gallery whose log is damaged -> the reason.
    """

    galleries: dict[str, Version]
    forced_against: dict[str, list[str] | None]
    grounds: dict[str, Annotated[dict[str, Any], GroundsOfRelease]]
    faults: dict[str, str]


@dataclass(frozen=True)
class CheckInHistory(Terms):
    """A check before a swap, in short.

    Attributes:
        check: its id.
        version: number of the gallery's version that it measured.
        state: digest of that version's rows, space and release.
        verdict: of the check.
        queries: digests of what was asked.
        instead_of: ids of failed checks on other queries that this check replaces.
        reason: why it replaces them.
        created: time by its writer's clock.
    """

    check: str
    version: int
    state: str
    verdict: Verdict
    queries: Queries
    instead_of: tuple[str, ...]
    reason: str
    created: str


@dataclass(frozen=True)
class HistoryDocument:
    """Every change of a gallery.

    Attributes:
        gallery: its name.
        versions: every entry of its log, the oldest first.
        release_origins: number of a version -> number of the one that brought its release.
        checks: number of a version that swapped -> the checks of its model before it.
        came_back_after: number of a version whose release came back -> the rollbacks that had left its model.
    """

    gallery: str
    versions: list[Version]
    release_origins: dict[int, int]
    checks: dict[int, list[Annotated[dict[str, Any], CheckInHistory]]]
    came_back_after: dict[int, list[RollbackValues]]
