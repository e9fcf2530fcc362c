"""skipfill policy"""

from __future__ import annotations

from typing import Annotated

import typer

from skipfill.cli.options import (
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
from skipfill.cli.terminal.printing import emit, table


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
        typer.Option(help="What makes rows relevant: labels, judgements, reindex. Default: either of two."),
    ] = None,
    slice: Annotated[
        list[str] | None, typer.Option(metavar="SQL", help="Queries that every check judges apart. Repeatable.")
    ] = None,
    most_left_out: MostLeftOut = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(metavar="DIGEST", help="Queries on which a pass counts whatever failed on others. Repeatable."),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Begin with the defaults, not with what is now.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Recorded in the history.")] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show what a model must meet before a swap to it, or change it, as a new version of the gallery's log.

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
    title = f"Policy of {gallery}" + ("" if now.policy else ": none of its own, so that the defaults hold")
    if defaults or any(value is not None for value in given.values()):
        from skipfill.compat.gate.inputs import refuse_unknown_metric

        wanted = with_options(base, **given)
        refuse_unknown_metric(wanted)
        before, now = now, (planned_policy if dry_run else change_policy)(objects, gallery, wanted, reason, now)
        title = f"{'Would change' if dry_run else 'Changed'} the policy of {gallery} (version {now.number})"
        if now is before:
            title = f"Already so: the policy of {gallery} (version {now.number}); nothing was written"
    document = {"gallery": gallery, "policy": asdict(now.policy_in_force), "own": now.policy is not None}
    emit(
        {**document, "version": asdict(now), "dry_run": dry_run},
        as_json=json,
        show=lambda out: out.print(title, table(["", ""], now.policy_in_force.in_words()), sep="\n"),
    )
