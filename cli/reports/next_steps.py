"""The command after a check: the next one, and others that may serve instead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from skipfill.cli.error_messages import in_way, options
from skipfill.cli.terminal.next_command import (
    check_again,
    check_options,
    column_options,
    deciding_options,
    items_options,
    same_command,
    with_given,
)
from skipfill.cli.terminal.printing import show_next
from skipfill.store.checks.names import UNSEEN, column_of, encoded_by, todays
from skipfill.store.checks.repeated import ROWS, lack_of, tried_again
from skipfill.store.checks.reranking import ModelInWay

if TYPE_CHECKING:
    from skipfill.compat.gate.inputs import CheckInputs
    from skipfill.store.checks.policy import Policy
    from skipfill.store.checks.report import Report
    from skipfill.store.checks.reranking import Reranking


def show_next_steps(
    report: Report,
    following: str,
    inputs: CheckInputs,
    policy: Policy,
    of_gallery: Policy,
    metric: str | None,
    *,
    quiet: bool,
) -> None:
    """Print the command after a check, and after it another one that may serve instead.

    Args:
        following: the next command, as far as a report tells it.
        policy: what the check asked.
        of_gallery: what a swap needs.
        metric: as it was given; None for the policy's.
    """
    by_policy = check_again(report, inputs, of_gallery.truth)
    if report.verdict == "pass" and report.asked_less:
        first = "Next"
        if "--metric" in following:  # the metric alone keeps the pass from counting
            show_next(f"Next: {following}", quiet=quiet)
            first = "Or"
        show_next(f"{first}, under the gallery's policy: {by_policy}", quiet=quiet)
        return
    if report.verdict == "pass" and not report.saved:
        show_next(f"Not saved, so it allows no swap. Run it again without --no-save: {following}", quiet=quiet)
        return
    if report.verdict == "inconclusive":
        following = next_command(report, check_options(inputs, metric, of_gallery.slices))
    elif following.startswith("skipfill check"):
        following = with_given(following, deciding_options(inputs, metric))
    elif following.startswith("skipfill train"):
        following += column_options(inputs.columns)
    show_next(f"Next: {following}", quiet=quiet)
    if (cheaper := cheaper_command(report)) and following.startswith("skipfill swap"):
        show_next(f"Or, with fewer rows to encode: {cheaper}", quiet=quiet)
    if lacked := about_lack(report):
        show_next(lacked, quiet=quiet)
    if report.verdict != "fail":
        return
    if inputs.old_vector:
        given = f"{items_options(inputs.items)}{deciding_options(inputs, metric)}"
        show_next(f"Or: skipfill advise {report.gallery} --candidate {report.model}{given}", quiet=quiet)
    if not inputs.old_input and (blend := blend_command(report)):
        show_next(f"Or: {blend}", quiet=quiet)
    if any(one.parameter != "truth" for one in policy.differences(of_gallery, inputs.truth, policy.slices)):
        show_next(f"Or, under the gallery's policy: {by_policy}", quiet=quiet)


def next_command(report: Report, asked: str = "") -> str:
    """The next command.

    Args:
        asked: the options of the check as they were given, with its queries; empty: as far as the report tells them.
    """
    if report.verdict == "pass" and not report.saved:
        return same_command(without_flag="--no-save")
    if report.verdict == "pass" and report.asked_less:
        return policy_command(report)
    if report.verdict == "pass":
        return swap_command(report, report.rerank.recommended if report.rerank else None)
    if report.verdict == "fail":
        align = " --align SAMPLE.parquet" if _unseen_fails(report) else ""
        return f"skipfill train NAME --gallery {report.gallery} --items ITEMS.parquet{align}"
    asked = asked or f"{options(tried_again(report))} --items HELDOUT.parquet".lstrip()
    more = {"queries": "--items MORE.parquet", "proof of old vectors": "--items PROOF.parquet"}.get(lack_of(report), "")
    if not more and ROWS not in asked:
        more = f"--gallery-items {ROWS}"
    return f"skipfill check {report.gallery} {report.model} {asked} {more}".rstrip()


def swap_command(report: Report, way: Reranking | None) -> str:
    """The command that makes queries use the model of a report, re-ranked as `way` says."""
    return f"skipfill swap {report.gallery} {in_way(ModelInWay(report.model, way.parameters if way else {}))}"


def cheaper_command(report: Report) -> str:
    """The command that releases the smallest number of candidates that passes; empty if the next command does."""
    measured = report.rerank
    if measured is None or report.verdict != "pass" or not measured.passing or not report.saved or report.asked_less:
        return ""
    smallest = replace(measured.way, k=measured.passing[0].k)
    return "" if smallest == measured.recommended else swap_command(report, smallest)


def about_lack(report: Report) -> str:
    """A sentence on the input that an undecided check lacked; empty where it lacked only queries."""
    lack = lack_of(report) if report.verdict == "inconclusive" else "queries"
    if lack == "proof of old vectors":
        column = column_of(report.baseline)
        return f"PROOF.parquet: at least 32 rows of the gallery, each with the old model's vector in column {column}"
    if lack == "vectors of rows" and report.rerank is not None:
        share = f"{report.rerank.places_without:.0%} of the candidates"
        return f"{ROWS}: the items of gallery rows; {share} had no new vector, and kept their places"
    return ""


def blend_command(report: Report) -> str:
    """The command that blends the model with the old one, for queries of unseen classes that got worse.

    Empty if they did not get worse, or if the old model did not encode the queries.
    """
    old = report.rows_by[0].model if report.rows_by else ""
    if not old or report.baseline != encoded_by(old) or not _unseen_fails(report):
        return ""
    return f"skipfill blend {report.model}-blend --new {report.model} --old {old}"


def policy_command(report: Report) -> str:
    """The command that sets the policy, with the metric of the check if nothing else differs."""
    alone = len(report.asked_less) == 1 and report.asked_less[0].startswith("metric ")
    metric = f" --metric {report.policy['metric']} --reason TEXT" if alone else ""
    return f"skipfill policy {report.gallery}{metric}"


def _unseen_fails(report: Report) -> bool:
    """Whether queries of classes that the model was not trained on are found to be worse."""
    return any(todays([one.name]) == (UNSEEN,) and one.verdict == "fail" for one in report.slices)
