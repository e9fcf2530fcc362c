"""The next step of a gallery, and the meaning of a check for a swap: by the evidence as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skipfill.cli.error_messages import in_way, sentence
from skipfill.cli.reports.findings import way_of
from skipfill.cli.reports.next_steps import next_command, swap_command
from skipfill.cli.terminal.next_command import quoted
from skipfill.store.checks.reranking import ModelInWay

if TYPE_CHECKING:
    from skipfill.cli.documents.checks import CheckDocument
    from skipfill.store.checks.report import Report
    from skipfill.store.galleries.log import Version
    from skipfill.store.models.cards import Card
    from skipfill.store.releases.evidence import Evidence
    from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Step:
    """A next step; `why` says what speaks against a more obvious one, where something does."""

    command: str
    why: str = ""


def next_step(objects: ObjectStore, gallery: str) -> str:
    """The command that brings a gallery's newest model forward, as `newest_step` finds it."""
    from skipfill.store.galleries.log import latest
    from skipfill.store.models.cards import load_card, model_names

    cards = [load_card(objects, name) for name in model_names(objects)]
    return newest_step(objects, gallery, latest(objects, gallery), cards).command


def newest_step(objects: ObjectStore, gallery: str, now: Version, cards: list[Card]) -> Step:
    """The command that brings the newest model for a gallery forward; `status` where there is nothing to do.

    If the model's newest check re-ranks, it is brought forward in that way.
    """
    from skipfill.store.checks.newest import newest_report

    fitting = [card for card in cards if now.space in card.views and card.name != now.space]
    if not fitting:
        return Step(quoted("skipfill", "train", "NAME", "--gallery", gallery, "--items", "ITEMS.parquet"))
    newest = max(fitting, key=lambda card: card.created)
    report = newest_report(objects, gallery, newest.fingerprint)
    return step_of(objects, gallery, now, newest.name, newest.fingerprint, report)


def step_of(
    objects: ObjectStore, gallery: str, now: Version, model: str, fingerprint: str, report: Report | None
) -> Step:
    """The command that brings a model forward.

    Args:
        report: a check of it, which says how it answers queries; None where there is none.
    """
    from skipfill.store.checks.repeated import repeated
    from skipfill.store.checks.reranking import way_fingerprint
    from skipfill.store.checks.saved_reports import load_report
    from skipfill.store.releases.evidence import evidence_of

    rerank = report.rerank.recommended if report is not None and report.rerank is not None else None
    way = way_fingerprint(fingerprint, rerank)
    if now.release is not None and now.release.way == way:
        return Step(quoted("skipfill", "status", gallery))
    evidence = evidence_of(objects, gallery, now, way)
    allowed = evidence.standing.allowing is not None and evidence.unanswered is None
    if now.release is not None and now.release.fingerprint == fingerprint and not allowed:
        return Step(quoted("skipfill", "status", gallery))  # it is in use in another way
    if evidence.unanswered is not None:
        return Step(quoted("skipfill", "history", gallery), str(evidence.unanswered))
    if allowed:
        named = in_way(ModelInWay(model, {} if rerank is None else rerank.parameters))
        return Step(f"skipfill swap {gallery} {named}")
    if evidence.deciding is not None and evidence.deciding.verdict != "pass":
        if evidence.deciding.verdict == "fail" and now.queries_use != now.space:
            return Step(quoted("skipfill", "status", gallery))  # an upgrade is in use, and this one is no better
        return Step(next_command(load_report(objects, gallery, evidence.deciding.check)))
    less = "; ".join(map(str, evidence.standing.differences))
    why = f"check {evidence.deciding.check} asked less: {less}" if evidence.deciding and less else ""
    named = in_way(ModelInWay(model, repeated(rerank, report)))
    return Step(f"skipfill check {gallery} {named} --items HELDOUT.parquet", why)


@dataclass(frozen=True)
class Outlook:
    """The effect of a check on a swap, by the gallery's log and the model's other checks as they are now.

    Attributes:
        following: the next command; empty for the one that the report alone tells.
        notes: what stands against a swap although the check passed, and rollbacks that left the model; in sentences.
        rolled_back: the rollbacks that left the model, the newest first, as JSON values.
        swap_allowed: whether a swap to the model needs nothing more. None where this cannot be read.
    """

    following: str = ""
    notes: tuple[str, ...] = ()
    rolled_back: list[dict[str, Any]] = field(default_factory=list)
    swap_allowed: bool | None = None

    def document_of(self, report: Report) -> CheckDocument:
        """The document of a check and its outlook."""
        from skipfill.cli.documents.checks import CheckDocument
        from skipfill.store.checks.saved_reports import document_of

        return CheckDocument(
            document_of(report), report.verdict, self.rolled_back, self.swap_allowed, notes=list(self.notes)
        )


NO_OUTLOOK = Outlook()


def outlook_of(objects: ObjectStore, report: Report) -> Outlook:
    """The meaning of a check for a swap, by the evidence as it is now: the policy may ask more than it did.

    What cannot be read is left out: a check that was just made must not be lost for it.
    """
    from skipfill.store.errors import SkipfillError, Stale
    from skipfill.store.galleries.log import latest
    from skipfill.store.releases.evidence import evidence_of

    by_itself = next_command(report)
    try:
        now = latest(objects, report.gallery)
        evidence = evidence_of(objects, report.gallery, now, report.fingerprint)
    except Stale:  # it was dropped
        return Outlook(quoted("skipfill", "history", report.gallery) if _allows(report) else by_itself)
    except (SkipfillError, OSError):
        following = quoted("skipfill", "doctor") if _allows(report) else by_itself
        return Outlook(following, ("what else speaks for or against a swap cannot be read",))
    rolled_back = evidence.withdrawn.as_document() if evidence.withdrawn else []
    allowed = evidence.standing.allowing is not None and evidence.unanswered is None
    if _allows(report) and now.release is not None and now.release.way == report.fingerprint:
        return Outlook(quoted("skipfill", "status", report.gallery), (), rolled_back, allowed)
    following = _following(objects, report, now, evidence) if _allows(report) else by_itself
    return Outlook(following, tuple(_notes(report, evidence)), rolled_back, allowed)


def _allows(report: Report) -> bool:
    """Whether a swap is the next step, as far as the report alone tells."""
    return report.verdict == "pass" and report.saved and not report.asked_less


def _following(objects: ObjectStore, report: Report, now: Version, evidence: Evidence) -> str:
    """The command after a pass that is saved and asked enough when it was made."""
    from skipfill.store.checks.repeated import repeated

    if evidence.standing.allowing is not None and evidence.unanswered is not None:
        way = report.rerank.recommended if report.rerank else None
        if evidence.unanswered.unknown:
            return f"{swap_command(report, way)} --reason TEXT"
        named = in_way(ModelInWay(report.model, repeated(way, report)))
        return f"skipfill check {report.gallery} {named} --items HELDOUT.parquet --items INCIDENT.parquet"
    model = report.fingerprint if report.rerank is None else report.rerank.model
    return step_of(objects, report.gallery, now, report.model, model, report).command


def _notes(report: Report, evidence: Evidence) -> Iterator[str]:
    """Notes on what stands against a swap although the check passed, and on rollbacks that left the model."""
    from skipfill.store.checks.entry import entry_of
    from skipfill.store.checks.repeated import repeated
    from skipfill.store.errors import Advice

    against, withdrawn = evidence.standing.against, evidence.withdrawn
    if _allows(report) and against:
        worst = evidence.standing.worst_first[0]
        more_of_them = f", and {len(against) - 1} more" if len(against) > 1 else ""
        first = f"this pass allows no swap, because check {worst.check} ({worst.verdict}) still counts{more_of_them}"
        fail = Advice("fail_stands", gallery=report.gallery, model=report.model, check=worst.check)
        more = Advice("ask_more", gallery=report.gallery, model=report.model)
        yield f"{first}. {sentence(fail if worst.verdict == 'fail' else more)}"
    if withdrawn is None:
        return
    said = withdrawn.in_words(way_of(report))
    if not _allows(report):
        yield f"{said}. It comes back with a pass that has new queries, or with a pass and a reason"
        return
    still_open = withdrawn.open_after(entry_of(report))
    if not still_open:
        yield f"{said}. This pass answers it: it has queries that the check that had allowed the model did not have"
        return
    way = report.rerank.recommended if report.rerank else None
    released = ModelInWay(report.model, way.parameters if way else {})
    checked = ModelInWay(report.model, repeated(way, report))
    reason = Advice("answer_rollback_by_reason", gallery=report.gallery, model=released)
    either = Advice("answer_rollback", gallery=report.gallery, model=released, checked=checked)
    answer = sentence(reason if withdrawn.unknown else either)
    yield f"{said}. This pass does not answer it: {still_open}. {answer}"
