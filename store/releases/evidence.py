"""The evidence for a swap: what a model's checks on the gallery's current rows allow, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from skipfill.store.checks.entry import CheckEntry, entry_of
from skipfill.store.checks.index import CheckIndex, newest_elsewhere
from skipfill.store.checks.newest import newest_report
from skipfill.store.checks.repeated import lack_of, repeated
from skipfill.store.checks.reranking import ModelInWay
from skipfill.store.checks.saved_reports import old_reports, readable_report
from skipfill.store.checks.standing import Standing, standing_of_old
from skipfill.store.errors import Advice, SkipfillError
from skipfill.store.galleries.log import Version, read_version
from skipfill.store.galleries.policies import set_in
from skipfill.store.releases.plan import Plan
from skipfill.store.releases.withdrawn import Withdrawal, withdrawal
from skipfill.store.storage.object_store import ObjectStore

MOST_CHANGES = 3
MOST_AGAINST = 3
"""Most checks against a model that a refusal names."""


@dataclass(frozen=True)
class Evidence:
    """Everything that speaks for and against a model on a version's rows, for a swap from its state.

    Attributes:
        standing: the joint result of its checks.
        elsewhere: the model's newest check on another state, if no check decides on this one.
        withdrawn: the rollbacks that left the model; None if none stands against it.
    """

    standing: Standing
    elsewhere: CheckEntry | None = None
    withdrawn: Withdrawal | None = None

    @property
    def deciding(self) -> CheckEntry | None:
        """The check that allows a swap, or else the one for which it is refused; None if there is neither.

        Of several for which it is refused, the newest fail, if one failed.
        """
        of_state = self.standing
        return of_state.allowing or next(iter(of_state.worst_first), of_state.lax)

    @property
    def unanswered(self) -> Withdrawal | None:
        """The rollbacks that left the model, unless the check that allows a swap answers them."""
        return self.withdrawn if self.withdrawn and self.withdrawn.open_after(self.standing.allowing) else None


def evidence_of(
    objects: ObjectStore, gallery: str, version: Version, fingerprint: str, index: CheckIndex | None = None
) -> Evidence:
    """Read the checks of a model on the rows of a version, and the rollbacks that left it.

    Checks are read from the index; if it has none of the model, from old reports.

    Args:
        fingerprint: of the model, or of its way of answering queries: see `way_fingerprint`.
        index: of the gallery; entries that it has read are not read again.

    Raises:
        BadInput: the log, an entry, or an old report that may belong to this model is damaged.
    """
    index = index or CheckIndex(objects, gallery)
    withdrawn = withdrawal(objects, gallery, version, fingerprint)
    of_rows = index.standing(version.rows_state, fingerprint, version.policy_in_force, version.state)
    if of_rows is None:
        old = [entry_of(report) for report in old_reports(objects, gallery, fingerprint, version.state)]
        if old:
            return Evidence(standing_of_old(old, version.policy), withdrawn=withdrawn)
    evidence = Evidence(of_rows or Standing(), withdrawn=withdrawn)
    if evidence.deciding is not None:
        return evidence
    newest = newest_elsewhere(objects, gallery, fingerprint)
    return replace(evidence, elsewhere=None if newest is None or newest.state == version.state else newest)


def checks_before_swaps(objects: ObjectStore, gallery: str, log: Sequence[Version]) -> dict[int, list[CheckEntry]]:
    """The checks that the model of each swap had on the same rows before the swap; by the swap's version number.

    Args:
        log: every version, from the first.
    """
    index, checks = CheckIndex(objects, gallery), {}
    for before, swap in pairwise(log):
        if swap.action == "swapped" and swap.release is not None:
            of_model = index.of(before.rows_state, swap.release.way)
            checks[swap.number] = [check for check in of_model if check.version <= before.number]
    return checks


def readable_evidence(
    objects: ObjectStore, gallery: str, version: Version, fingerprint: str, index: CheckIndex | None = None
) -> Evidence | None:
    """The same as `evidence_of`, but None where something cannot be read: for callers that must go on without it."""
    try:
        return evidence_of(objects, gallery, version, fingerprint, index)
    except (SkipfillError, OSError):
        return None


def since_release(first: int, of_model: Standing | None) -> list[str]:
    """The checks against the released model since version number `first`, oldest first: `1a2b fail`.

    Args:
        of_model: standing of the released model; None where it has no checks.
    """
    against = of_model.against if of_model else ()
    return [f"{check.check} {check.verdict}" for check in against if check.version >= first]


def indexed_since_release(objects: ObjectStore, gallery: str, now: Version, first: int) -> list[str] | None:
    """The same by the index alone; None where it cannot be read.

    For callers that must continue even if a check is damaged: services that ask for the release, and a rollback.
    """
    if now.release is None:
        return []
    index = CheckIndex(objects, gallery)
    try:
        of_rows = index.standing(now.rows_state, now.release.way, now.policy_in_force, now.state)
    except (SkipfillError, OSError):
        return None
    return since_release(first, of_rows)


def told(objects: ObjectStore, gallery: str, version: Version, evidence: Evidence) -> str:
    """The evidence in a few words; `none` if there is none."""
    of_state, check = evidence.standing, evidence.deciding
    old = ", in an older format: only the newest check counts" if of_state.old else ""
    if check is None:
        if evidence.elsewhere is None:
            return "none"
        return _elsewhere(objects, gallery, version, evidence.elsewhere)
    text = f"{check.check} {check.verdict}{old}"
    if of_state.against:
        others = "".join(f", {one.check} {one.verdict}" for one in of_state.worst_first[1:MOST_AGAINST])
        more = len(of_state.against) - MOST_AGAINST
        return f"{text}{others} (and {more} more that do not pass)" if more > 0 else f"{text}{others}"
    if of_state.allowing is None:
        return f"{text}, which asked less: {'; '.join(map(str, of_state.differences))}"
    return f"{text} ({check.reason})" if check.reason else text


def advice(objects: ObjectStore, version: Version, plan: Plan, evidence: Evidence) -> Advice:
    """The next step if the evidence does not allow the planned swap."""
    of_state, check, gallery = evidence.standing, evidence.deciding, plan.gallery
    like = newest_report(objects, gallery, plan.fingerprint)
    model = ModelInWay(plan.model, repeated(plan.rerank, like))
    if check is None:
        return Advice("check_model", gallery=gallery, model=model)
    if check.verdict == "fail":
        return Advice("fail_stands", gallery=gallery, model=model, check=check.check)
    if check.verdict == "inconclusive":
        report = readable_report(objects, gallery, check.check)
        lack = lack_of(report) if report else "queries"
        if lack == "vectors of rows":
            return Advice("ask_vectors_of_rows", gallery=gallery, model=model)
        if lack == "proof of old vectors":
            return Advice("ask_proof", gallery=gallery, model=model)
        return Advice("ask_more", gallery=gallery, model=model)
    changed = set_in(objects, plan.gallery, version)
    setter = policy_words(changed) if changed else ""
    fitting = {
        "without_slices" if one.parameter == "slices" else one.parameter: one.fitting for one in of_state.differences
    }
    if None in fitting.values():  # no option can meet these
        return Advice("check_by_policy", gallery=gallery, model=model, check=check.check, setter=setter)
    return Advice("fit_policy", gallery=gallery, model=model, check=check.check, setter=setter, options=fitting)


def policy_words(changed: Version) -> str:
    """The version that set a policy, as a sentence that ends with a space."""
    return f"The policy was set in version {changed.number} by {changed.by}: {changed.reason or 'no reason given'}. "


def _elsewhere(objects: ObjectStore, gallery: str, version: Version, check: CheckEntry) -> str:
    """The newest check on another state, and the reason why it does not count on this one."""
    before = read_version(objects, gallery, check.version)
    if before.rows_state != version.rows_state:
        return f"none of this version: {_since(objects, gallery, version, check)}"
    return (
        f"none that compares with {version.queries_use}, which queries have used since version {version.released_at}: "
        f"check {check.check} passed against {before.queries_use}"
    )


def _since(objects: ObjectStore, gallery: str, version: Version, check: CheckEntry) -> str:
    """`check 1a2b was for version 1; version 2 appended 40 rows`."""
    changes = []
    before = read_version(objects, gallery, check.version)
    for number in range(check.version + 1, version.number + 1):
        after = version if number == version.number else read_version(objects, gallery, number)
        if after.state != before.state:
            changes.append(_change(before, after))
        before = after
    shown = changes[:MOST_CHANGES] + (["..."] if len(changes) > MOST_CHANGES else [])
    return "; ".join([f"check {check.check} was for version {check.version}", *shown])


def _change(before: Version, after: Version) -> str:
    if after.action == "appended":
        return f"version {after.number} appended {after.rows - before.rows:,} rows"
    if after.action == "swapped" and after.release is not None:
        return f"version {after.number} swapped to {after.release.model}"
    return f"version {after.number} was {after.action}"
