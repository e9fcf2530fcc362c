"""skipfill policy"""

from __future__ import annotations

from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.commands.overview import next_step
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
    Reason,
    Store,
    opened,
    with_options,
)
from skipfill.cli.terminal.printing import emit, facts, show_next


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
            help="Condition on the queries' columns: a slice that every check judges. Repeatable. New galleries: none.",
            rich_help_panel=POLICY,
        ),
    ] = None,
    most_left_out: MostLeftOut = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIGEST",
            help="Digest of a query set, from a report: a pass on these queries counts, even after a fail on others. "
            "Repeatable. New galleries: none.",
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

    A change is a new version of the gallery.

    Example: skipfill policy products --metric nDCG@10 --margin 0.01
    """
    from dataclasses import asdict

    from skipfill.store.checks.policy import Policy
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
        "slices": slice,
        "most_left_out": most_left_out,
        "queries": queries,
    }
    changed = False
    title = f"Policy of {gallery}" + ("" if now.policy else ": the defaults, because none was set")
    if defaults or any(value is not None for value in given.values()):
        from skipfill.compat.gate.inputs import refuse_unknown_metric

        wanted = with_options(base, **given)
        refuse_unknown_metric(wanted)
        before, now = now, (planned_policy if dry_run else change_policy)(objects, gallery, wanted, reason, now)
        changed = now is not before
        title = f"{'Would change' if dry_run else 'Changed'} the policy of {gallery} (version {now.number})"
        if not changed:
            title = f"Nothing to do: this is the policy of {gallery} already (version {now.number})"
    document = {"gallery": gallery, "policy": asdict(now.policy_in_force), "own": now.policy is not None}
    emit(
        {**document, "version": asdict(now), "dry_run": dry_run},
        as_json=json,
        show=lambda out: out.print(title, facts(now.policy_in_force.in_words()), sep="\n"),
    )
    if changed:
        following = "the same command without --dry-run" if dry_run else next_step(objects, gallery)
        show_next(f"Next: {following}", quiet=False)
