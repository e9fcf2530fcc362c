"""A report for GitHub Actions: annotations (workflow commands), and Markdown for the step's summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skipfill.cli.reports.findings import (
    Finding,
    Outcome,
    check_name,
    findings,
    flip_words,
    headline,
    notes,
    numbers,
    same_as_all,
    way_of,
    worst_first,
)
from skipfill.cli.reports.next_steps import next_command
from skipfill.cli.reports.outlook import NO_OUTLOOK, Outlook
from skipfill.cli.terminal.characters import one_line, visible

if TYPE_CHECKING:
    from skipfill.store.checks.report import Interval, Report, Slice

MOST_ANNOTATIONS = 10  # that GitHub shows for each level of a step; it drops later ones silently
MOST_ROWS = 300  # of the summary's table: GitHub refuses a summary of more than a mebibyte
LEVELS: dict[Outcome, str] = {"fail": "error", "inconclusive": "warning", "accepted": "notice"}
SIGNS: dict[Outcome, str] = {
    "fail": "\u274c fail",
    "inconclusive": "\u2754 inconclusive",
    "accepted": "\u2796 accepted",
    "pass": "\u2705 pass",
}


def workflow_commands(report: Report, outlook: Outlook = NO_OUTLOOK) -> str:
    """Workflow commands, a line each: the verdict, then what did not pass, then the notes.

    A verdict other than a pass is an error, because the step ends with an exit code that is not 0.

    Args:
        outlook: what the check means for a swap now.
    """
    title = f"skipfill: {way_of(report)} on {report.gallery}: {report.verdict.upper()}"
    verdict = "notice" if report.verdict == "pass" else "error"
    said = [(verdict, title, f"{headline(report)} Next: {outlook.following or next_command(report)}")]
    said += [("warning", title, one) for one in outlook.notes]
    for each in worst_first(findings(report)):
        if each.outcome != "pass":
            said.append((LEVELS[each.outcome], f"{each.slice}: {each.outcome}", f"{each.claim}: {each.text}"))
    said += [("notice", "note", one) for one in notes(report)]
    return "".join(
        _command(level, title, text)
        for wanted in ("error", "warning", "notice")
        for level, title, text in _shortened([one for one in said if one[0] == wanted])
    )


def step_summary(report: Report, outlook: Outlook = NO_OUTLOOK) -> str:
    """Markdown: the verdict, a table of what was asked, the cells of the deciding metric, the notes.

    Args:
        outlook: as for `workflow_commands`.
    """
    found = worst_first(findings(report))
    measured = f"gallery version {report.version}, {report.gallery_rows:,} rows, {report.seconds:g} s"
    counts = f"{measured}, check {_code(check_name(report))}"
    parts = [
        f"## {SIGNS[report.verdict]}: {_text(way_of(report))} on {_text(report.gallery)}",
        _text(headline(report)),
        *(f"\u26a0 {_text(one)}" for one in outlook.notes),
        f"Next: {_code(outlook.following or next_command(report))}",
        _table(["verdict", "slice", "claim", "found", "above", "below", "limit", "more queries"], _rows(found)),
    ]
    if len(found) > MOST_ROWS:
        parts.append(f"{len(found) - MOST_ROWS:,} more are in the check.")
    parts += [_cells(report), *(f"- {_text(one)}" for one in notes(report)), f"<sub>{counts}</sub>"]
    return "\n\n".join(parts) + "\n"


def failure_command(error: str) -> str:
    """The workflow command for a check that could not be made."""
    return _command("error", "skipfill: no check was made", error)


def failure_summary(error: str) -> str:
    """The same in Markdown."""
    return f"## \u26a0 no check was made\n\n{_text(error)}\n"


def _shortened(said: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    if len(said) <= MOST_ANNOTATIONS:
        return said
    left = len(said) - MOST_ANNOTATIONS + 1
    return [*said[:-left], (said[0][0], "skipfill", f"{left} more of these: see the step's summary")]


def _command(level: str, title: str, text: str) -> str:
    return f"::{level} title={_property(title)}::{_data(text)}\n"


def _data(text: str) -> str:
    """Escaped as the runner unescapes it.

    Source: escapeData and escapeProperty of github.com/actions/toolkit, packages/core/src/command.ts.
    """
    return visible(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _text(text: str) -> str:
    """Words that Markdown and HTML leave as they are, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>()#+.!|~&$-])", r"\\\1", one_line(text))


def _code(text: str) -> str:
    """A piece of code, in which nothing but a backtick has a meaning."""
    return f"`{visible(text).replace('`', chr(92) + 'x60')}`"


def _rows(found: list[Finding]) -> list[list[str]]:
    rows = []
    for each in found[:MOST_ROWS]:
        asked = each.asked
        if asked is None:
            rows.append([SIGNS[each.outcome], _text(each.slice), _text(f"{each.claim}: {each.text}"), *[""] * 5])
            continue
        more = f"{asked.more_queries:,}" if asked.more_queries else ""
        rows.append([SIGNS[each.outcome], _text(each.slice), _text(each.claim), *numbers(asked), more])
    return rows


def _cells(report: Report) -> str:
    """A table of the slices: every pair in the deciding metric."""
    metric = report.policy.get("metric", "CMC@1")
    pairs = list(dict.fromkeys(cell.pair for one in report.slices for cell in one.cells))
    rows = [
        [_text(one.name), f"{one.queries:,}", *_values(one, metric, pairs), f"{one.flips['negative']:,}"]
        for one in report.slices[:MOST_ROWS]
        if not same_as_all(one, report)
    ]
    worse, _ = flip_words(report)
    return _table([f"slice ({_text(metric)})", "queries", *(_text(pair) for pair in pairs), _text(worse)], rows)


def _values(one: Slice, metric: str, pairs: list[str]) -> list[str]:
    values: dict[str, Interval] = {cell.pair: cell.value for cell in one.cells if cell.metric == metric}
    return [_interval(values[pair]) if pair in values else "" for pair in pairs]


def _interval(value: Interval) -> str:
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
