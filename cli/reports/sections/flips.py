"""Queries that were right before and wrong after, and the reverse: counts by slice, and ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.reports.elements import code, name, table, text
from skipfill.cli.reports.findings import flip_words, same_as_all
from skipfill.cli.reports.svg import ROW, diverging, picture
from skipfill.store.storage.layout import per_query_key

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report, Slice


def flips(report: Report) -> str:
    measured = [one for one in report.slices if one.queries]
    if not measured:
        return ""
    most = max(count / one.queries for one in measured for count in one.flips.values())
    rows = [_row(one, most, flip_words(report)) for one in measured if not same_as_all(one, report)]
    worse, better = (words[0].upper() + words[1:] for words in flip_words(report))
    columns = ["Slice", f"#{text(worse)}", "~Share of the slice's queries", f"#{text(better)}"]
    lists = [
        _ids(worse, report.flips.negative, "the largest loss first"),
        _ids(better, report.flips.positive, "the largest gain first"),
    ]
    title = f"Flips by {text(report.flip_metric)}"
    page = table(title, columns, rows) + "".join(lists)
    if not report.saved:
        return page
    return f"{page}<p class=dim>All queries: {code(per_query_key(report.gallery, report.id))}</p>"


def _row(one: Slice, most: float, words: tuple[str, str]) -> list[str]:
    shares = [one.flips[side] / one.queries for side in ("negative", "positive")]
    title = f"{one.name}: {shares[0]:.1%} {words[0]}; {shares[1]:.1%} {words[1]}"
    counts = [
        f'<span class="value">{one.flips[side]:,}</span> <span class="dim ends">{share:.1%}</span>'
        for side, share in zip(("negative", "positive"), shares, strict=True)
    ]
    return [name(one.name), counts[0], picture(title, ROW, diverging(shares[0], shares[1], most)), counts[1]]


def _ids(what: str, ids: list[str], order: str) -> str:
    if not ids:
        return ""
    shown = "".join(f"<li>{code(one)}</li>" for one in ids)
    title = f"{text(what)}: {'the first ' if len(ids) >= 100 else ''}{len(ids)} ids, {text(order)}"
    return f"<details><summary>{title}</summary><ol class=ids>{shown}</ol></details>"
