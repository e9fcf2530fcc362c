"""skipfill policy"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import (
    POLICY,
    AcceptWorse,
    Confidence,
    DryRun,
    FlipBudget,
    GalleryName,
    Json,
    LeastQueries,
    Margin,
    Metric,
    MostLeftOut,
    NotWorse,
    Store,
    opened,
    with_options,
)
from skipfill.cli.options.reason import Reason
from skipfill.cli.reports.outlook import next_step
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import emit, facts, show_next

if TYPE_CHECKING:
    from skipfill.store.checks.policy import Policy
    from skipfill.store.storage.object_store import ObjectStore


def policy(
    gallery: GalleryName,
    metric: Metric = None,
    margin: Margin = None,
    confidence: Confidence = None,
    not_worse: NotWorse = None,
    flip_budget: FlipBudget = None,
    accept_worse: AcceptWorse = None,
    least_queries: LeastQueries = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What makes a row relevant in a check: labels, judgements, or reindex. New galleries: labels or "
            "judgements.",
            rich_help_panel=POLICY,
            autocompletion=completion.one_of("labels", "judgements", "reindex"),
        ),
    ] = None,
    slice: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SQL",
            help="Condition on the queries' columns: add a slice that every check judges. Repeatable. "
            "New galleries: none.",
            rich_help_panel=POLICY,
        ),
    ] = None,
    without_slice: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SQL", help="Remove this slice from the policy. Repeatable. Default: none.", rich_help_panel=POLICY
        ),
    ] = None,
    most_left_out: MostLeftOut = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIGEST",
            help="Digest of a query set, from a report: a pass on these queries counts, even after a fail on others. "
            "The given ones replace the earlier ones. Repeatable. New galleries: none.",
            rich_help_panel=POLICY,
        ),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Start from the policy of a new gallery, not from the current one.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show or change what a model must achieve before a swap.

    A change adds a version to the gallery's log.

    Example: skipfill policy products --metric nDCG@10 --margin 0.01
    """
    from skipfill.cli.documents.checks import PolicyDocument
    from skipfill.store.checks.policy import Policy
    from skipfill.store.errors import BadInput
    from skipfill.store.galleries.log import latest
    from skipfill.store.galleries.policies import change_policy, planned_policy

    objects = opened(store)
    now = latest(objects, gallery)
    base = Policy() if defaults else now.policy_in_force
    given = {
        "metric": metric,
        "margin": margin,
        "confidence": confidence,
        "better": None if not_worse is None else not not_worse,
        "flip_budget": flip_budget,
        "accept_worse": accept_worse,
        "least_queries": least_queries,
        "truth": truth,
        "slices": _slices(base, slice, without_slice),
        "most_left_out": most_left_out,
        "queries": queries,
    }
    if reason and not defaults and all(value is None for value in given.values()):
        raise BadInput("--reason", expected="a change of the policy too", found="none")
    changed, notes = False, []
    title = f"Policy of {gallery}" + ("" if now.policy else ": the defaults, because none was set")
    if defaults or any(value is not None for value in given.values()):
        from skipfill.compat.gate.inputs import refuse_unknown_metric

        wanted = with_options(base, **given)
        refuse_unknown_metric(wanted)
        notes = _notes(objects, gallery, [one for one in wanted.slices if one not in base.slices])
        before, now = now, (planned_policy if dry_run else change_policy)(objects, gallery, wanted, reason, now)
        changed = now is not before
        title = f"{'Would change' if dry_run else 'Changed'} the policy of {gallery} (version {now.number})"
        if not changed:
            title = f"Nothing to do: this is the policy of {gallery} already (version {now.number})"
    emit(
        PolicyDocument(gallery, now.policy_in_force, now.policy is not None, now, dry_run),
        as_json=json,
        show=lambda out: out.print(title, facts(now.policy_in_force.in_words()), sep="\n"),
    )
    for note in notes:
        show_next(note, quiet=False)
    if changed:
        following = "the same command without --dry-run" if dry_run else next_step(objects, gallery)
        show_next(f"Next: {following}", quiet=False)


def _slices(base: Policy, slices: list[str] | None, without: list[str] | None) -> list[str] | None:
    """The slices that are wanted; None for those of the policy."""
    from skipfill.store.errors import unknown_name

    if slices is None and without is None:
        return None
    wanted = list(dict.fromkeys([*base.slices, *(slices or [])]))
    for one in without or []:
        if one not in wanted:
            raise unknown_name("slice of the policy", one, wanted, where="--without-slice")
    return [one for one in wanted if one not in (without or [])]


def _notes(objects: ObjectStore, gallery: str, slices: list[str]) -> list[str]:
    """Notes on new slices whose columns only queries can have, and on those that no row of the gallery meets.

    Anything that is not an SQL condition is refused.
    """
    from skipfill.store.galleries.gallery import open_gallery
    from skipfill.store.parquet.sql.gallery import refuse_no_condition, rows_that_meet, unknown_to_gallery

    if not slices:
        return []
    refuse_no_condition(slices)
    rows = open_gallery(objects, gallery).rows
    lacking = unknown_to_gallery(rows, slices)
    met = rows_that_meet(rows, slices)
    empty = [one for one, count in met.items() if count == 0]
    return [
        f"Note: slice {one!r} matches none of the {rows.count:,} rows of {gallery}. A check in which it matches no "
        f"query does not pass. To remove it: {quoted('skipfill', 'policy', gallery, '--without-slice', one)}"
        for one in empty
    ] + [
        f"Note: slice {one!r} needs a column that {gallery} does not have: every check needs it in its queries ({what})"
        for one, what in lacking.items()
    ]
