"""skipfill swap"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import DryRun, GalleryName, Json, Quiet, Store, opened
from skipfill.cli.options.after_commit import Run, emit_and_run, say_not_run
from skipfill.cli.options.reason import Reason, refuse_empty
from skipfill.cli.options.reranking import CheckedCandidates, Rerank, asked_reranking, refuse_beside_plan
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import emit, show_next, show_store
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from skipfill.store.galleries.log import Version
    from skipfill.store.releases.grounds import Grounds
    from skipfill.store.releases.plan import Plan
    from skipfill.store.storage.object_store import ObjectStore


def swap(
    gallery: GalleryName,
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Name of a model in the store. Not with --plan.", autocompletion=completion.models
        ),
    ] = "",
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Apply a plan that was saved with `skipfill plan -o FILE`; - is stdin. Default: plan a swap to MODEL.",
        ),
    ] = None,
    without_check: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            callback=refuse_empty,
            help="Swap without a passing check, for this recorded reason. Default: a pass is required.",
        ),
    ] = None,
    reason: Reason = "",
    rerank: Rerank = None,
    candidates: CheckedCandidates = "",
    run: Run = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make queries use another model; no stored vector is changed.

    Needs a passing check of this model on the gallery as it is now. A model that was rolled back also needs a later
    pass on other queries, or a `--reason`. If queries use the model already, nothing is written, and any later checks
    that speak against it are named.

    Exit 0: done, or nothing to do. Exit 1: refused. Exit 4: the plan is stale, another change came first, or a file of
    the gallery is not the one that was registered. Exit 5: the swap is done, but the command of `--run` failed.

    Example: skipfill swap products v2
    """
    from skipfill.cli.documents.releases import SwapDocument
    from skipfill.store.checks.index import CheckIndex
    from skipfill.store.models.cards import load_card
    from skipfill.store.releases import swap as swaps
    from skipfill.store.releases.grounds import grounds_of

    _one_of(gallery, name, plan, without_check)
    refuse_beside_plan(plan, rerank)
    objects = opened(store)
    index = CheckIndex(objects, gallery)
    try:
        if plan is None:
            card = load_card(objects, name)
            way = asked_reranking(objects, gallery, card, rerank, candidates, index)
            planned = swaps.plan_swap(objects, gallery, card, without_check or "", index=index, rerank=way)
        else:
            planned = _saved(plan, gallery)
            swaps.refuse_applied(objects, planned)
    except swaps.ReleasedAlready as already:
        against = swaps.checks_against(objects, gallery, already.version, index)
        _show_already(gallery, name, already.version, against, dry_run=dry_run, json=json)
        say_not_run(run, because="nothing was changed", quiet=quiet)
        return
    act = swaps.planned_version if dry_run else swaps.apply_plan
    done = act(objects, planned, index, reason=reason, at_once=plan is None)
    grounds = grounds_of(objects, gallery, done, index)
    code = emit_and_run(
        SwapDocument(gallery=gallery, version=done, dry_run=dry_run, already=False, **grounds.as_document()),
        "" if dry_run else run,
        as_json=json,
        show=lambda out: out.print(
            f"{'Would swap' if dry_run else 'Swapped'}: queries of {gallery} use {planned.changes.after} "
            f"(version {done.number}, {_evidence(grounds)})"
            + (f". Note: {grounds.came_back}" if grounds.came_back else "")
        ),
    )
    show_store(objects, quiet=quiet)
    if dry_run:
        say_not_run(run, because="this is a dry run", quiet=quiet)
        show_next("Next: the same command without --dry-run", quiet=quiet)
    else:
        show_next(f"Next: {_search(objects, planned)}. Undo: skipfill rollback {gallery}", quiet=quiet)
    raise typer.Exit(code)


def _search(objects: ObjectStore, plan: Plan) -> str:
    """The command that searches with the new release, with all that its queries and candidates need."""
    from skipfill.store.checks.names import column_of
    from skipfill.store.checks.repeated import ROWS
    from skipfill.store.checks.saved_reports import readable_report
    from skipfill.store.galleries.log import latest
    from skipfill.store.models.cards import load_card, needs_old_vectors, serves
    from skipfill.store.overlays.log import newest_entry
    from skipfill.store.spaces import load_space

    now, way, card = latest(objects, plan.gallery), plan.rerank, load_card(objects, plan.model)
    by_old = way is not None and way.candidates == "old" and not serves(objects, load_space(objects, now.space))
    command = f"skipfill search {plan.gallery} --items QUERIES.parquet"
    if by_old or needs_old_vectors(card):
        report = readable_report(objects, plan.gallery, plan.check)
        column = column_of(report.baseline) if report is not None else ""
        command += f" --old-vector {quoted(column or 'COLUMN')}"
    overlay = newest_entry(objects, plan.gallery, plan.fingerprint) if way is not None else None
    if way is not None and (overlay is None or overlay.rows < now.rows):
        command += f" --gallery-items {ROWS} --keep"
    return command


def _evidence(grounds: Grounds) -> str:
    """The check that allowed a swap, or what it was forced against; and its reason."""
    if grounds.forced:
        return forced_words(grounds)
    return f"check {grounds.allowed_by}" + (f". Reason: {grounds.reason}" if grounds.reason else "")


def _show_already(gallery: str, name: str, now: Version, against: list[str], *, dry_run: bool, json: bool) -> None:
    """Say that queries use the model already, and which checks speak against it now."""
    from skipfill.cli.documents.releases import AlreadySwappedDocument

    emit(
        AlreadySwappedDocument(gallery, now, dry_run, already=True, checks_against=against),
        as_json=json,
        show=lambda out: out.print(
            f"Nothing to do: queries of {gallery} use {now.queries_use} already, since version {now.released_at}"
            + (f"; {name} is the same model" if now.release and name not in ("", now.release.model) else "")
            + (f". Checks since then speak against it: {', '.join(against)}" if against else "")
        ),
    )


def _one_of(gallery: str, name: str, plan: Path | None, without_check: str | None) -> None:
    from skipfill.store.errors import BadInput

    if bool(name) == (plan is not None):
        raise BadInput(
            "swap",
            expected="either MODEL or --plan",
            found="both" if name else "neither",
            hint=f"Example: skipfill swap {gallery} --plan plan.json",
        )
    if plan is not None and without_check:
        raise BadInput(
            "--without-check",
            expected="no reason beside --plan: the plan has its own",
            found=repr(without_check),
            hint=f"Plan again with: skipfill plan {gallery} MODEL --without-check REASON",
        )


def _saved(file: Path, gallery: str) -> Plan:
    from skipfill.store.errors import BadInput, reason
    from skipfill.store.parquet.files import refuse_no_file
    from skipfill.store.releases.plan import read_plan
    from skipfill.store.storage.address import to_see_instead
    from skipfill.store.strict_json import LARGEST

    if str(file) != "-":
        refuse_no_file(file)
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            plan = read_plan(source.read(LARGEST + 1), file)
    except OSError as error:
        instead = f". {to_see_instead(file)}" if isinstance(error, FileNotFoundError) else ""
        hint = f"To make a plan: skipfill plan {gallery} MODEL -o FILE{instead}"
        raise BadInput(file, expected="a plan that can be read", found=reason(error), hint=hint) from error
    if plan.gallery != gallery:
        raise BadInput(file, expected=f"a plan for gallery {gallery}", found=f"one for gallery {plan.gallery}")
    return plan
