"""Preconditions of a plan, compared with the store as it is now. Only a few small files are read, and no Parquet."""

from __future__ import annotations

from dataclasses import dataclass

from skipfill.store.checks.entry import entry_of
from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.report import Report
from skipfill.store.checks.reranking import way_words
from skipfill.store.checks.saved_reports import readable_report
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import Version, latest
from skipfill.store.models.cards import Card, load_card
from skipfill.store.overlays.log import OverlayVersion, newest_entry
from skipfill.store.releases.evidence import Evidence, evidence_of, readable_evidence, told
from skipfill.store.releases.plan import Plan, Precondition
from skipfill.store.storage.object_store import ObjectStore

SHORT = 12


@dataclass(frozen=True)
class Situation:
    """The part of a store that a plan depends on, read at one moment.

    Attributes:
        version: the gallery's version in force.
        card: of the plan's model; None where it is gone.
        check: the report that the plan names; None where it names none, or it is gone.
        evidence: what speaks for and against the plan's model on this version; None where no check is asked for and
            part of it cannot be read.
        told: its checks in words.
        overlay: the newest entry of the overlay that the check relied on; None if it relied on none, or the overlay is
            gone.
    """

    version: Version
    card: Card | None
    check: Report | None
    evidence: Evidence | None
    told: str
    overlay: OverlayVersion | None = None


def current_situation(objects: ObjectStore, plan: Plan, index: CheckIndex) -> Situation:
    """Read what `plan` depends on.

    Args:
        index: of the plan's gallery; entries that it has read are not read again.

    Raises:
        BadInput: the gallery is gone, or an entry of a check is damaged.
        Stale: the gallery was dropped.
    """
    version = latest(objects, plan.gallery)
    try:
        card = load_card(objects, plan.model)
    except BadInput:
        card = None
    check = readable_report(objects, plan.gallery, plan.check)
    if plan.without_check:
        readable = readable_evidence(objects, plan.gallery, version, plan.way, index)
        return Situation(version, card, check, readable, _not_asked_for(readable))
    overlay = None
    if check is not None and check.rerank is not None and check.rerank.needs_overlay:
        overlay = newest_entry(objects, plan.gallery, plan.fingerprint)
    evidence = evidence_of(objects, plan.gallery, version, plan.way, index)
    said = told(objects, plan.gallery, version, evidence)
    return Situation(version, card, check, evidence, said, overlay)


def _not_asked_for(evidence: Evidence | None) -> str:
    """The checks of a model that is released without one; a check that would allow the swap is named."""
    allowing = evidence.standing.allowing if evidence else None
    return "none asked for" + (f", though {allowing.check} allows it" if allowing else "")


def preconditions(plan: Plan, now: Situation, reason: str = "") -> list[Precondition]:
    """Every precondition of `plan` and whether it holds now. Something that is gone is shown as `none`.

    Args:
        reason: for the swap, where one is given.
    """
    version, planned = now.version, f"{plan.version} ({plan.state[:SHORT]})"
    same = (version.number, version.state) == (plan.version, plan.state)
    return [
        Precondition("gallery version", planned, f"{version.number} ({version.state[:SHORT]})", same),
        Precondition("gallery files", plan.files[:SHORT], version.files[:SHORT], version.files == plan.files),
        *_of_model(plan, now),
        _of_check(plan, now),
        *_of_overlay(now),
        *_of_rollback(plan, now, reason),
    ]


def _of_model(plan: Plan, now: Situation) -> list[Precondition]:
    fingerprint, view = (
        ("", None) if now.card is None else (now.card.fingerprint, now.card.views.get(now.version.space))
    )
    return [
        Precondition("model", plan.fingerprint[:SHORT], fingerprint[:SHORT] or "none", fingerprint == plan.fingerprint),
        Precondition("view", str(plan.view), str(view or "none"), view == plan.view),
    ]


def _of_overlay(now: Situation) -> list[Precondition]:
    """The rows of an overlay that the check relied on must still be there: rows are added to one, never changed."""
    measured = now.check.rerank if now.check else None
    if measured is None or not measured.needs_overlay:
        return []
    expected = f"version {measured.overlay} or later, with no rollback or drop since"
    if now.overlay is None:
        return [Precondition("overlay", expected, "none", False)]
    number, taken_back = now.overlay.number, now.overlay.taken_back
    since = f", taken back in version {taken_back}" if taken_back > measured.overlay else ""
    return [Precondition("overlay", expected, f"version {number}{since}", number >= measured.overlay and not since)]


def _of_check(plan: Plan, now: Situation) -> Precondition:
    """The check that the plan names must be the one that allows a swap now."""
    if plan.without_check or now.evidence is None:
        return Precondition("check", "none asked for", now.told, True)
    expected = f"{plan.check} pass" if plan.verdict == "pass" else "pass"
    allowing, report = now.evidence.standing.allowing, now.check
    if allowing is None or report is None:
        gone = allowing is not None and plan.check
        return Precondition("check", expected, f"no report of {plan.check}" if gone else _changed(plan, now), False)
    measured = (report.id, report.verdict, report.fingerprint, report.state)
    # The entry is believed only as far as the report, which has a digest, says the same.
    of_report = entry_of(report) == allowing
    holds = of_report and measured == (allowing.check, "pass", plan.way, plan.state)
    return Precondition("check", expected, _changed(plan, now), holds)


def _of_rollback(plan: Plan, now: Situation, reason: str) -> list[Precondition]:
    """A rollback that left the model must be answered: by a pass that was made later, or by a reason."""
    if now.evidence is None or now.evidence.withdrawn is None:
        return []
    withdrawn, allowing = now.evidence.withdrawn, now.evidence.standing.allowing
    reason, still_open = reason or plan.without_check, withdrawn.open_after(allowing)
    if allowing is not None and not still_open:
        why = f"; check {allowing.check} answers it, with new queries"
    elif reason:
        why = f"; the reason answers it: {reason}"
    else:
        why = f"; {still_open}" if allowing is not None else ""
    said = withdrawn.in_words(way_words(plan.model, plan.rerank))
    expected = "none, or a later pass that has new queries, or a reason"
    return [Precondition("rollback", expected, f"{said}{why}", not still_open or bool(reason))]


def _changed(plan: Plan, now: Situation) -> str:
    deciding = now.evidence.deciding if now.evidence else None
    newer = deciding is not None and plan.check and deciding.check != plan.check
    return now.told + (", which is newer" if newer else "")
