"""skipfill without a command: the store that it finds, and the next step."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skipfill.cli.options import opened
from skipfill.cli.terminal.next_command import VARIABLE, quoted
from skipfill.cli.terminal.printing import printer
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report
    from skipfill.store.galleries.log import Version
    from skipfill.store.models.cards import Card
    from skipfill.store.storage.object_store import ObjectStore

START = """\
Start here     skipfill init
See it work    skipfill demo
"""
READ = """\
All commands   skipfill --help
The guide      skipfill guide
"""
SHOWN = 10


def overview() -> int:
    """Print every gallery of the store here or above and its next step; or how to start. Return the exit code."""
    from skipfill.store.errors import BadInput
    from skipfill.store.galleries.log import newest_versions
    from skipfill.store.models.cards import load_card, model_names
    from skipfill.store.releases.evidence import readable_forced

    out = printer()
    named = os.environ.get(VARIABLE)
    try:
        objects = opened(named)
    except BadInput:
        if named is not None:
            raise
        out.print("No store in this folder or above it.")
        _print_lines(START + READ)
        return 0
    galleries = newest_versions(objects)
    cards = [load_card(objects, name) for name in model_names(objects)]
    out.print(f"Store {objects.root}: galleries: {len(galleries.in_force):,}, models: {len(cards):,}")
    for name, now in sorted(galleries.in_force.items())[:SHOWN]:
        out.print(f"{name}: {now.rows:,} rows in space {now.space}; queries use {now.queries_use}")
        if now.release is not None and now.release.without_check:
            out.print(f"  {forced_words(readable_forced(objects, name, now), now.release.without_check)}")
        step = _next_step(objects, name, now, cards)
        out.print(f"  {step.why}") if step.why else None
        out.print(f"  Next: {step.command}")
    if len(galleries.in_force) > SHOWN:
        out.print("All galleries: skipfill status")
    if galleries.faults:
        out.print(f"Damaged: {', '.join(sorted(galleries.faults))}. Next: skipfill doctor")
    if not galleries.in_force and not galleries.faults:
        out.print("  Next: skipfill gallery add NAME FILES --space NAME_OF_THE_OLD_ENCODER")
    _print_lines(READ)
    return 2 if galleries.faults else 0


def next_step(objects: ObjectStore, gallery: str) -> str:
    """The command that brings a gallery's newest model forward, as `_next_step` finds it."""
    from skipfill.store.galleries.log import latest
    from skipfill.store.models.cards import load_card, model_names

    cards = [load_card(objects, name) for name in model_names(objects)]
    return _next_step(objects, gallery, latest(objects, gallery), cards).command


def searchable(objects: ObjectStore, card: Card) -> str:
    """A gallery that a model's queries can search; `GALLERY` if there is none yet."""
    from skipfill.store.galleries.log import galleries_of

    found = [name for space in card.views for name in galleries_of(objects, space)]
    trained_against = str(card.gallery.get("name", ""))
    return trained_against if trained_against in found else next(iter(found), "GALLERY")


@dataclass(frozen=True)
class _Step:
    """A next step; `why` says what speaks against a more obvious one, where something does."""

    command: str
    why: str = ""


def _next_step(objects: ObjectStore, gallery: str, now: Version, cards: list[Card]) -> _Step:
    """The command that brings the newest model for a gallery forward; `status` where there is nothing to do.

    If the model's newest check re-ranks, it is brought forward in that way.
    """
    from skipfill.store.checks.newest import newest_report

    fitting = [card for card in cards if now.space in card.views and card.name != now.space]
    if not fitting:
        return _Step(quoted("skipfill", "train", "NAME", "--gallery", gallery, "--items", "ITEMS.parquet"))
    newest = max(fitting, key=lambda card: card.created)
    report = newest_report(objects, gallery, newest.fingerprint)
    return _step_of(objects, gallery, now, newest.name, newest.fingerprint, report)


def step_after(objects: ObjectStore, report: Report) -> str:
    """The command after a saved check, by the evidence as it is now: the policy may ask more than it did."""
    from skipfill.cli.reports.next_steps import next_command
    from skipfill.store.errors import Stale
    from skipfill.store.galleries.log import latest

    if report.verdict != "pass" or report.asked_less:
        return next_command(report)
    try:
        now = latest(objects, report.gallery)
    except Stale:  # it was dropped
        return quoted("skipfill", "history", report.gallery)
    if now.release is not None and now.release.way == report.fingerprint:
        return quoted("skipfill", "status", report.gallery)
    model = report.fingerprint if report.rerank is None else report.rerank.model
    return _step_of(objects, report.gallery, now, report.model, model, report).command


def _step_of(
    objects: ObjectStore, gallery: str, now: Version, model: str, fingerprint: str, report: Report | None
) -> _Step:
    """The command that brings a model forward.

    Args:
        report: a check of it, which says how it answers queries; None where there is none.
    """
    from skipfill.cli.error_messages import in_way
    from skipfill.cli.reports.next_steps import next_command
    from skipfill.store.checks.repeated import repeated
    from skipfill.store.checks.reranking import ModelInWay, way_fingerprint
    from skipfill.store.checks.saved_reports import load_report
    from skipfill.store.releases.evidence import evidence_of, withdrawn_unanswered

    rerank = report.rerank.recommended if report is not None and report.rerank is not None else None
    way = way_fingerprint(fingerprint, rerank)
    if now.release is not None and now.release.way == way:
        return _Step(quoted("skipfill", "status", gallery))
    evidence = evidence_of(objects, gallery, now, way)
    withdrawn = withdrawn_unanswered(objects, gallery, now, way, evidence)
    allowed = evidence.standing.allowing is not None and withdrawn is None
    if now.release is not None and now.release.fingerprint == fingerprint and not allowed:
        return _Step(quoted("skipfill", "status", gallery))  # it is in use in another way
    if withdrawn is not None:
        return _Step(quoted("skipfill", "history", gallery), str(withdrawn))
    if allowed:
        named = in_way(ModelInWay(model, {} if rerank is None else rerank.parameters))
        return _Step(f"skipfill swap {gallery} {named}")
    if evidence.deciding is not None and evidence.deciding.verdict != "pass":
        if evidence.deciding.verdict == "fail" and now.queries_use != now.space:
            return _Step(quoted("skipfill", "status", gallery))  # an upgrade is in use, and this one is no better
        return _Step(next_command(load_report(objects, gallery, evidence.deciding.check)))
    less = "; ".join(map(str, evidence.standing.differences))
    why = f"check {evidence.deciding.check} asked less: {less}" if evidence.deciding and less else ""
    named = in_way(ModelInWay(model, repeated(rerank, report)))
    return _Step(f"skipfill check {gallery} {named} --items HELDOUT.parquet", why)


def _print_lines(text: str) -> None:
    out = printer()
    for line in text.splitlines():
        out.print(line, style="dim")
