"""A check in short: its index entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skipfill.store.checks.policy import Policy, policy_of
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.report import Report, judged_names
from skipfill.store.checks.requirement import Verdict
from skipfill.store.errors import BadInput

LIMITED = 5
"""First format of reports in which a policy limits how many queries are left out."""


@dataclass(frozen=True)
class Terms:
    """The terms under which a check gave its verdict: all that is compared with a gallery's policy.

    Attributes:
        policy: under which it was judged.
        truth: what made rows relevant.
        judged: names of the slices with requirements, without those made from the values of an expression.
    """

    policy: Policy
    truth: str
    judged: tuple[str, ...]


@dataclass(frozen=True)
class CheckEntry:
    """A check in short: everything that a swap asks of it.

    Attributes:
        check: its id.
        version: number of the gallery's version that it measured.
        state: of that version, release included: only from this state can the check allow a swap.
        queries: digests of what was asked.
        instead_of: ids of failed checks on other queries that this one stands in for, because of `reason`.
        created: time by its writer's clock; for people, not for ordering.
    """

    check: str
    version: int
    state: str
    verdict: Verdict
    terms: Terms
    queries: Queries
    instead_of: tuple[str, ...]
    reason: str
    created: str

    def as_document(self) -> dict[str, Any]:
        """The entry as JSON values, on one level."""
        content = asdict(self)
        terms: dict[str, Any] = content.pop("terms")
        return content | terms


def entry_of(report: Report) -> CheckEntry:
    """The entry of a report."""
    policy = policy_of(report.policy, f"check {report.id}", limited=report.format >= LIMITED)
    return CheckEntry(
        check=report.id,
        version=report.version,
        state=report.state,
        verdict=report.verdict,
        terms=Terms(policy, report.truth, judged_names(report.slices)),
        queries=report.queries,
        instead_of=tuple(report.instead_of),
        reason=report.reason,
        created=report.created,
    )


@dataclass(frozen=True)
class EntryColumns:
    """Entries by column, in their order. Thousands are read as fast as a few files of one entry.

    Attributes:
        terms: the distinct terms.
        under: place in `terms` for each entry.
        check, version, state, verdict, reason, created: of each entry.
        instead_of: of each entry, the ids with spaces between them.
        count, digest, least, basis: of the queries of each entry.
    """

    terms: tuple[Terms, ...] = ()
    under: tuple[int, ...] = ()
    check: tuple[str, ...] = ()
    version: tuple[int, ...] = ()
    state: tuple[str, ...] = ()
    verdict: tuple[Verdict, ...] = ()
    reason: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    instead_of: tuple[str, ...] = ()
    count: tuple[int, ...] = ()
    digest: tuple[str, ...] = ()
    least: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = [getattr(self, name) for name in self.__dataclass_fields__ if name != "terms"]
        if len({len(column) for column in columns}) > 1:
            raise BadInput("checks", expected="columns of one length", found="columns of several lengths")
        if not all(0 <= place < len(self.terms) for place in self.under):
            raise BadInput("checks", expected="terms for every check", found="a check without any")

    @classmethod
    def of(cls, entries: Sequence[CheckEntry]) -> EntryColumns:
        """These entries, in this order."""
        places = {terms: place for place, terms in enumerate(dict.fromkeys(entry.terms for entry in entries))}
        return cls(
            terms=tuple(places),
            under=tuple(places[entry.terms] for entry in entries),
            check=tuple(entry.check for entry in entries),
            version=tuple(entry.version for entry in entries),
            state=tuple(entry.state for entry in entries),
            verdict=tuple(entry.verdict for entry in entries),
            reason=tuple(entry.reason for entry in entries),
            created=tuple(entry.created for entry in entries),
            instead_of=tuple(" ".join(entry.instead_of) for entry in entries),
            count=tuple(entry.queries.count for entry in entries),
            digest=tuple(entry.queries.digest for entry in entries),
            least=tuple(entry.queries.least for entry in entries),
            basis=tuple(entry.queries.basis for entry in entries),
        )

    def entries(self) -> list[CheckEntry]:
        """The entries one by one."""
        queries = map(Queries, self.count, self.digest, self.least, self.basis)
        terms = (self.terms[place] for place in self.under)
        replaced = (tuple(checks.split()) for checks in self.instead_of)
        measured = self.check, self.version, self.state, self.verdict
        return list(map(CheckEntry, *measured, terms, queries, replaced, self.reason, self.created))
