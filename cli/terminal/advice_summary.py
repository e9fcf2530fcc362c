"""Advice as people read it: the table, the recommendation and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from skipfill.cli.terminal.printing import table

if TYPE_CHECKING:
    from skipfill.compat.advice.advise import Advised
    from skipfill.compat.advice.table import Line

CHOSE, CHECK = "chose.parquet", "check.parquet"  # as in compat/advice/halves.py, which is not loaded for the help
VERDICTS = {"pass": "pass", "fail": "fail", "inconclusive": "?", None: ""}
LONGEST_NAME = 20  # so that the table fits into 80 columns


def show_advice(out: Console, made: Advised) -> None:
    """The table, the recommendation and its reason."""
    policy = made.policy
    out.print(f"{policy.metric} on gallery {made.gallery}, version {made.version}", style="bold")
    halves = f"{made.choosing:,} queries chose a row of the table, which shows the results on {made.reporting:,} others"
    out.print(f"{halves}. Policy: {policy.short}")
    out.print()
    columns = ["", policy.metric, "change", "flips", "per s", "rows", ""]
    rows = [_cells(line, recommended=place == made.recommended) for place, line in enumerate(made.lines)]
    out.print(table(columns, rows, numbers=columns[1:6]))
    if any(line.kind == "rerank" for line in made.lines):
        out.print("rows: the number to encode; for re-ranking, the candidates of these queries", style="dim")
    for line in made.lines:
        if line.kind == "reindex":
            out.print(_cost(line))
        if partial := _partial(line, made.lines[0]):
            out.print(partial)
    out.print()
    out.print(Text.assemble((f"{_headline(made)}: ", "bold"), f"{made.reason}."))
    for note in [*made.notes, *_weights_are_chosen(made), *_numbers_of_candidates(made)]:
        out.print(Text.assemble(("note: ", "yellow"), note))


def _weights_are_chosen(made: Advised) -> list[str]:
    """A note on making a blend of the table, where there is one."""
    if all(line.kind != "blend" for line in made.lines):
        return []
    return [
        f"to make a blend of this table, use `skipfill blend --items {CHOSE}` (from --halves): it chooses the same "
        "weight and remembers these queries, so that checks leave them out. `--weight` remembers none"
    ]


def _numbers_of_candidates(made: Advised) -> list[str]:
    """A note on the number of candidates, where re-ranking is recommended."""
    if made.recommended is None or made.lines[made.recommended].kind != "rerank":
        return []
    return [
        "recommended is the smallest number of candidates that is as good as the best row, within one standard error. "
        "A smaller one may pass a check too, with fewer rows to encode and a smaller gain: `skipfill check --rerank "
        "10,50,200` tries several and shows both"
    ]


def _cells(line: Line, *, recommended: bool) -> list[object]:
    ends = [] if line.change is None else [line.change.mean, line.change.low, line.change.high]
    change = " ".join(f"{end:+.3f}".replace("0.", ".", 1) for end in ends)
    name = line.name if len(line.name) <= LONGEST_NAME else f"{line.name[: LONGEST_NAME - 3]}..."
    return [
        Text(name, "bold" if recommended else ""),
        f"{line.quality.mean:.3f}",
        change,
        "" if line.flips is None else f"{line.flips:.1%}",
        "-" if line.queries_per_second is None else f"{line.queries_per_second:,.0f}",
        f"{line.rows:,}",
        VERDICTS[line.verdict],
    ]


def _headline(made: Advised) -> str:
    """The words before the reason, which names what is recommended unless that is to stay."""
    if made.recommended is None:
        return "Not enough evidence"
    name = made.lines[made.recommended].name
    return "Recommended" if made.recommended else f"Recommended: {name[0].upper()}{name[1:]}"


def _partial(line: Line, staying: Line) -> str:
    """A note on a line that was measured on some rows only; empty for others."""
    if line.change is None or line.measured_on == staying.measured_on:
        return ""
    return (
        f"{line.name}: measured on the {line.measured_on:,} of {staying.measured_on:,} rows whose items are given, "
        f"with {line.queries:,} queries; staying has {line.quality.mean - line.change.mean:.3f} on these"
    )


def _cost(line: Line) -> str:
    if line.seconds is None:
        return f"{line.name}: the time is not known, because no model in this store encodes the items"
    money = "" if line.money is None else f", price {line.money:,.4g}"
    return f"{line.name}: {line.rows:,} rows take {line.seconds / 3600:,.3g} hours on this machine{money}"
