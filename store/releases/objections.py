"""Objections to a release: the causes for which a rollback to it needs a reason."""

from __future__ import annotations

from collections.abc import Sequence

from skipfill.store.checks.entry import CheckEntry
from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.standing import differences, lax_answer
from skipfill.store.errors import SkipfillError
from skipfill.store.galleries.log import Version
from skipfill.store.models.cards import bundle_of, has_model
from skipfill.store.releases.withdrawn import readable_withdrawal
from skipfill.store.storage.object_store import ObjectStore


def objections(objects: ObjectStore, gallery: str, now: Version, target: Version, index: CheckIndex) -> str:
    """The objections to bringing back the release of `target`, in words; empty where there are none.

    Objections are: a check on the current rows that speaks against it, a release that no check allowed, a rollback that
    left it and that no later pass answers, and a model that is gone. What cannot be read is no objection, because a
    damaged check must not stop a rollback.

    Args:
        now: the version in force.
    """
    release = target.release
    if release is None or release.model == target.space:
        return ""  # the encoder of the stored vectors, which needs no check and may encode elsewhere
    there = has_model(objects, release.model) or bundle_of(objects, release.fingerprint)
    found = [] if there else [f"model {release.model} is not in this store"]
    try:
        standing = index.standing(now.rows_state, release.way, now.policy_in_force, now.state)
    except (SkipfillError, OSError):
        standing = None
    allowing = standing.allowing if standing else None
    entries = index.of(now.rows_state, release.way) if standing else []
    against = [_against(check, entries, now.policy_in_force) for check in standing.against] if standing else []
    if release.without_check and allowing is None:
        found.append(f"no check allowed it ({release.without_check})")
    if against:
        found.append(", ".join(against))
    withdrawn = readable_withdrawal(objects, gallery, now, release.way)
    if withdrawn is not None and (why := withdrawn.open_after(allowing)):
        found.append(f"{withdrawn} ({why})" if allowing or withdrawn.unknown else str(withdrawn))
    return "; ".join(found)


def _against(check: CheckEntry, entries: Sequence[CheckEntry], policy: Policy) -> str:
    """A check that speaks against a release, and the later pass that no longer answers it because it asked less."""
    said = f"check {check.check} {'failed' if check.verdict == 'fail' else f'is {check.verdict}'}"
    lax = lax_answer(entries, check, policy)
    if lax is None:
        return said
    less = "; ".join(map(str, differences(policy, lax.terms)))
    return f"{said} (check {lax.check}, which would answer it, asked less than the policy asks now: {less})"
