"""Plots as SVG inside a page, without scripts, fonts or a fixed size.

x is in percent of the width and y in pixels, so that a plot fills any width while its text and marks keep their shape.
Colours come from the page, by class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, isfinite, log10

from skipfill.cli.terminal.characters import visible

ROW = 34  # height in pixels of a plot in a row of a table
LETTER = 14  # of a line of text
MARKS = {
    "pass": '<circle r="5"/>',
    "fail": '<path d="M-5-5 5 5M-5 5 5-5"/>',
    "inconclusive": '<path d="M0-6 6 0 0 6-6 0Z"/>',
    "accepted": '<path d="M-5 0H5"/>',
    "old": '<circle r="5"/>',
    "new": '<circle r="5"/>',
    "other": '<path d="M-4-4H4V4H-4Z"/>',
}


@dataclass(frozen=True)
class Scale:
    """The range of a plot: values from `low`, its left end, to `high`, its right end."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float]) -> Scale:
        """One that holds all finite values, with some room on both sides."""
        known = [value for value in values if isfinite(value)]
        if not known:
            return cls(-1.0, 1.0)
        room = 0.06 * (max(known) - min(known)) or 0.05
        return cls(min(known) - room, max(known) + room)

    def at(self, value: float) -> float:
        """The place of `value` in percent of the width."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    def ticks(self) -> list[float]:
        """Two to six round values in the range."""
        rough = (self.high - self.low) / 5
        unit = 10.0 ** floor(log10(rough))
        step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
        first, last = ceil(self.low / step), floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


def picture(title: str, height: int, shapes: Iterable[str], description: str = "") -> str:
    """An SVG as wide as its container. The texts are for screen readers; the title also shows under the pointer."""
    said = f"<desc>{escape(visible(description))}</desc>" if description else ""
    inside = "".join(shapes)
    return f'<svg role="img" width="100%" height="{height}"><title>{escape(visible(title))}</title>{said}{inside}</svg>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1}%" y1="{y1:g}" x2="{x2}%" y2="{y2:g}"/>'


def box(x: float, y: float, width: float, height: float, css: str) -> str:
    return f'<rect class="{css}" x="{x}%" y="{y:g}" width="{width:.2f}%" height="{height:.2f}"/>'


def mark(x: float, y: float, kind: str) -> str:
    return f'<svg class="mark {kind}" x="{x}%" y="{y:g}">{MARKS[kind]}</svg>'


def words(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x}%" y="{y:g}" text-anchor="{anchor}">{escape(visible(text))}</text>'


def interval(scale: Scale, low: float, value: float, high: float, kind: str, y: float) -> list[str]:
    """A line from `low` to `high` with ends, and a mark at `value`; what is not finite is left out."""
    shapes = []
    if isfinite(low) and isfinite(high):
        left, right = scale.at(low), scale.at(high)
        shapes = [line(left, y, right, y, f"range {kind}")]
        shapes += [line(end, y - 4, end, y + 4, f"range {kind}") for end in (left, right)]
    return [*shapes, mark(scale.at(value), y, kind)] if isfinite(value) else shapes


def axis(scale: Scale, *, sign: bool = False, named: dict[float, str] | None = None) -> str:
    """Ticks with their values or, if given, names, to stand below rows of plots of the same scale."""
    shapes = [line(0, 0.5, 100, 0.5, "axis")]
    for tick, said in (named or {tick: _round(tick, sign=sign) for tick in scale.ticks()}).items():
        at = scale.at(tick)
        anchor = "start" if at < 4 else "end" if at > 96 else "middle"
        shapes += [line(at, 0, at, 5, "axis"), words(at, 18, said, anchor)]
    return picture("axis", 22, shapes)


def mirrored(
    scale: Scale, edges: Sequence[float], up: Sequence[float], down: Sequence[float], height: int
) -> list[str]:
    """Two histograms on one axis, one above and one below, each scaled to its half; an empty bin has no bar."""
    middle = height / 2
    shapes = [line(0, middle, 100, middle, "axis")]
    for place, (left, right) in enumerate(pairwise(edges)):
        x, width = scale.at(left), scale.at(right) - scale.at(left)
        tall, deep = up[place] / max(up) * (middle - 2) if up[place] else 0, 0.0
        if down[place]:
            deep = down[place] / max(down) * (middle - 2)
        shapes += [box(x, middle - tall, width, tall, "relevant")] if tall else []
        shapes += [box(x, middle, width, deep, "rest")] if deep else []
    return shapes


def curve(across: Scale, up: Scale, points: Sequence[tuple[float, float]], kind: str, height: int) -> list[str]:
    """Marks at the points, joined by lines."""
    places = [(across.at(x), height * (1 - up.at(y) / 100)) for x, y in points]
    joined = [line(x1, y1, x2, y2, f"range {kind}") for (x1, y1), (x2, y2) in pairwise(places)]
    return [*joined, *(mark(x, y, kind) for x, y in places)]


def levels(up: Scale, height: int, *, percent: bool = False) -> list[str]:
    """Horizontal lines at round values; each value is written above the left end of its line, or below the top one."""
    shapes = []
    for tick in up.ticks():
        y = height * (1 - up.at(tick) / 100)
        said = f"{tick:.0%}" if percent else _round(tick, sign=False)
        shapes += [line(0, y, 100, y, "zero"), words(0, y - 3 if y > LETTER else y + LETTER, said, "start")]
    return shapes


def diverging(left: float, right: float, most: float) -> list[str]:
    """Two bars from the middle outwards; `most` fills a half."""
    one, two = (50 * value / most if most else 0 for value in (left, right))
    shapes = [box(50 - one, 8, one, ROW - 16, "worse"), box(50, 8, two, ROW - 16, "better")]
    return [*shapes, line(50, 2, 50, ROW - 2, "axis")]


def _round(value: float, *, sign: bool) -> str:
    text = f"{value:+.3f}" if sign else f"{value:.3f}"
    text = text.rstrip("0").rstrip(".").replace("-", "\u2212")
    return "0" if text in ("+0", "\u22120") else text
