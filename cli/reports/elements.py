"""The pieces of HTML that a page is made of. Text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from skipfill.cli.reports.findings import Outcome
from skipfill.cli.reports.svg import MARKS
from skipfill.cli.terminal.characters import visible

if TYPE_CHECKING:
    from skipfill.store.checks.report import Interval


def text(words: str) -> str:
    return escape(visible(words))


def name(words: str) -> str:
    """A user's own words, isolated so that their writing direction does not affect the rest."""
    return f"<bdi>{text(words)}</bdi>"


def code(words: str) -> str:
    return f"<code>{text(words)}</code>"


def badge(outcome: Outcome) -> str:
    """A verdict as a mark and a word."""
    icon = f'<svg class="mark {outcome}" viewBox="-8 -8 16 16" aria-hidden="true">{MARKS[outcome]}</svg>'
    return f'<span class="badge {outcome}">{icon}{outcome}</span>'


def number(value: float, *, sign: bool = False) -> str:
    if not isfinite(value):
        return "unknown"
    return (f"{value:+.3f}" if sign else f"{value:.3f}").replace("-", "\u2212")


def interval(value: Interval | None, *, sign: bool = False) -> str:
    """A mean, with its interval in smaller type below it."""
    if value is None:
        return '<span class="dim">undefined</span>'
    ends = f"{number(value.low, sign=sign)} to {number(value.high, sign=sign)}"
    return f'<span class="value">{number(value.mean, sign=sign)}</span> <span class="dim ends">{ends}</span>'


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """A table that becomes a list of cards where there is no room: each cell knows its column's name.

    Args:
        columns, rows, foot: HTML. A column whose name starts with `#` holds numbers; with `~`, plots.
    """
    kinds = [{"#": "number", "~": "plot"}.get(column[:1], "words") for column in columns]
    names = [column.lstrip("#~") for column in columns]
    head = "".join(f'<th scope="col" class="{kind}">{one}</th>' for kind, one in zip(kinds, names, strict=True))
    body = "".join(f"<tr>{_cells(kinds, names, row)}</tr>" for row in rows)
    end = f"<tfoot><tr>{_cells(kinds, names, foot)}</tr></tfoot>" if foot else ""
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>{end}</table>"


def _cells(kinds: Sequence[str], names: Sequence[str], row: Sequence[str]) -> str:
    return "".join(
        f'<td class="{kind}" data-column="{one}">{cell}</td>' if cell else f'<td class="{kind} empty"></td>'
        for kind, one, cell in zip(kinds, names, row, strict=True)
    )
