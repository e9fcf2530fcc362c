"""The verdict as lines: each slice's requirements and results, never more hopeful than the report's verdict."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

from skipfill.cli.reports.next_steps import policy_command
from skipfill.store.checks.names import ALL, EVERY_CHECK
from skipfill.store.checks.requirement import is_binary
from skipfill.store.checks.reranking import way_words

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report, Slice
    from skipfill.store.checks.requirement import Requirement

Outcome = Literal["pass", "fail", "inconclusive", "accepted"]
WORST_FIRST: list[Outcome] = ["fail", "inconclusive", "accepted", "pass"]


@dataclass(frozen=True)
class Finding:
    """One claim about one slice.

    Attributes:
        outcome: a verdict, or `accepted`: the policy requires nothing of this slice.
        text: what was found, in a sentence without a full stop.
        asked: the requirement; None where there is none.
    """

    slice: str
    claim: str
    outcome: Outcome
    text: str
    asked: Requirement | None = None


def findings(report: Report) -> list[Finding]:
    """A finding for each requirement, and for each slice without one, in the report's order.

    If none of them explains the verdict, the verdict is a finding of its own.
    """
    found = [each for one in report.slices for each in _of_slice(one, report)]
    if report.verdict != "pass" and not any(each.outcome in ("fail", "inconclusive") for each in found):
        found.insert(0, Finding("check", "verdict", report.verdict, "; ".join(report.why) or "no reason is recorded"))
    return found


def outcome_of(one: Slice, report: Report) -> Outcome:
    """The verdict of a slice; `accepted` where the policy requires nothing of it."""
    accepted = one.name in report.policy.get("accept_worse", [])
    return "accepted" if accepted and one.verdict == "pass" and not one.requirements else one.verdict


def worst_first(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda each: WORST_FIRST.index(each.outcome))


def headline(report: Report) -> str:
    """The reason for the verdict in a sentence or two."""
    found = findings(report)
    confidence = f"{report.policy.get('confidence', 0.95):.0%}"
    if report.verdict == "pass":
        accepted = [each.slice for each in found if each.outcome == "accepted"]
        rest = f" The policy requires nothing of {', '.join(accepted)}." if accepted else ""
        asked = sum(each.outcome == "pass" for each in found)
        return f"{_things(asked, 'requirement')} met, each with {confidence} confidence.{rest}{_of_several(report)}"
    first = next(each for each in found if each.outcome == report.verdict)
    others = sum(each.outcome == report.verdict for each in found) - 1
    more = f" The same holds for {_things(others, 'other requirement')}." if others else ""
    what = "Not met" if report.verdict == "fail" else "Not decided"
    return f"{what} in slice {first.slice}: \u201c{first.claim}\u201d: {first.text}.{more}"


def _of_several(report: Report) -> str:
    """The smallest number of candidates that passes, and the one to release; empty where there is no choice."""
    if report.rerank is None or not report.rerank.passing:
        return ""
    smallest, chosen = report.rerank.passing[0].k, report.rerank.recommended.k
    good = "as good as the best number tried, within one standard error"
    if smallest == chosen:
        return f" {smallest:,} is the smallest number of candidates that passes, and it is {good}."
    return (
        f" {smallest:,} is the smallest number of candidates that passes. {chosen:,} is the smallest that passes and "
        f"is {good}, which is how skipfill advise chooses."
    )


def way_of(report: Report) -> str:
    """The model, and its way of answering queries."""
    return way_words(report.model, report.rerank.way if report.rerank else None)


def lax(report: Report) -> list[str]:
    """Notes on why a pass would not allow a swap: it asked less than the gallery's policy, or was not saved."""
    less = "; ".join(report.asked_less)
    note = f"this check asked less than the gallery's policy, so a pass allows no swap: {less}"
    said = [f"{note}. To change the policy: {policy_command(report)}"] if less else []
    return said if report.saved else ["this check was not saved, so it has no effect on a swap", *said]


def check_name(report: Report) -> str:
    """The id of a check; `(not saved)` for one that has none."""
    return report.id or "(not saved)"


def notes(report: Report) -> list[str]:
    """The warnings of the check, and which models made the rows of a mixed gallery."""
    mixed = [report.mixed] if report.mixed else []
    return [*mixed, *lax(report), *report.warnings, *(report.index.warnings if report.index else [])]


def flip_words(report: Report) -> tuple[str, str]:
    """The words for queries that flipped for the worse, and for the better."""
    if is_binary(report.flip_metric):
        return "right before, wrong after", "wrong before, right after"
    return f"lower {report.flip_metric} than before", f"higher {report.flip_metric} than before"


def same_as_all(one: Slice, report: Report) -> bool:
    """Whether a slice of every check has the same queries as `all`, and need not be shown again."""
    every = next((other for other in report.slices if other.name == ALL), None)
    return one.name in EVERY_CHECK and one.name != ALL and every is not None and one.queries == every.queries > 0


def signed(value: float) -> str:
    return f"{value:+.3f}" if isfinite(value) else "unknown"


def numbers(asked: Requirement) -> list[str]:
    """The value found, the ends of its interval, and the limit, in words; a flip budget as shares of the queries."""
    if asked.kind == "flip-budget":  # stored as minus the share
        return [_share(-value) for value in (asked.found, asked.high, asked.low, asked.bar)]
    return [signed(value) for value in (asked.found, asked.low, asked.high, asked.bar)]


def bar_words(asked: Requirement) -> str:
    """The limit of a requirement: `required above +0.000`."""
    return f"required {'below' if asked.kind == 'flip-budget' else 'above'} {numbers(asked)[3]}"


def _share(value: float) -> str:
    return f"{value if value > 0 else 0:.2%}" if isfinite(value) else "unknown"


def _of_slice(one: Slice, report: Report) -> list[Finding]:
    if one.requirements:
        return [_of_requirement(one, each, report) for each in one.requirements]
    accepted = one.name in report.policy.get("accept_worse", [])
    # Reports of format 1 have no requirements, but reasons.
    text = one.nothing_required(accepted=accepted) or "; ".join(report.why) or "nothing was required"
    return [Finding(one.name, "measured", outcome_of(one, report), text)]


def _of_requirement(one: Slice, asked: Requirement, report: Report) -> Finding:
    if asked.kind == "admission":  # it has no difference to be shown
        return Finding(one.name, asked.claim, asked.verdict, asked.said)
    return Finding(one.name, asked.claim, asked.verdict, _text(one, asked, report), asked)


def _text(one: Slice, asked: Requirement, report: Report) -> str:
    confidence = f"{report.policy.get('confidence', 0.95):.0%}"
    found, low, high, _ = numbers(asked)
    text = f"found {found}, above {low} and below {high} (each with {confidence} confidence), {bar_words(asked)}"
    least = report.policy.get("least_queries", 0)
    if asked.verdict == "inconclusive" and one.units < least:
        text += f"; {_things(one.units, 'query', 'queries')}, fewer than {least}"
    if asked.verdict == "inconclusive" and asked.high < asked.bar:
        count = sum(len(each.requirements) for each in report.slices)
        text += f"; with {_things(count, 'requirement')} to test, this is not sure enough for a fail"
    against = ", probably against it" if asked.found < asked.bar else ""
    return f"{text}; about {asked.more_queries:,} more queries would decide it{against}" if asked.more_queries else text


def _things(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
