"""Tables and a plot of what `upgrade.py` measured.

    python tests/benchmarks/tables.py RESULTS_FOLDER OUTPUT.md

OUTPUT.svg shows new/old against new/new. Cells are means over the seeds. An update gain is a ratio of means over the
queries of all seeds; its spread, the smallest and the largest of the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from upgrade import CURVE, RUNS
from upgrades import GROUPS, UPGRADES

MEANINGS = {
    "trained": "classes known, gallery rows trained on",
    "fresh": "classes known, gallery rows never trained on",
    "unlabelled": "classes of which no model was given labels",
}
INTRODUCTION = """# Every method on three upgrades

Made by `upgrade.py` and `tables.py`, which run the commands of the guide and nothing else, with the defaults of every
method (`upgrades.py` holds the splits). Update gain: 0 is the old model, 1 a full reindex with an independent new
model of the same dimension on the same labels (the ceiling), below 0 worse than staying. Cells are means over seeds,
each with its own split, old model and weights; after an update gain, the smallest and the largest of the seeds. It is
undefined where the ceiling is less than half a point above the old model.
`simplex` and `hoc` have an old model, and so a gallery, of their own; their gain is relative to it. The samples are of
the gallery's items, without labels. The queries are held out of everything.
"""
METRICS = ("CMC@1", "mAP")
PAIRS = ("old/old", "new/old", "new/new", "ceiling")
LEAST_ROOM = 0.005  # between the old model and the ceiling: a share of less is a share of nothing


@dataclass(frozen=True)
class Cell:
    """Means over queries, one entry a seed, in the order of `PAIRS`: (seeds, 4)."""

    means: np.ndarray

    @property
    def gains(self) -> np.ndarray:
        """(seeds,) update gains; NaN where the ceiling is not half a point above the old model."""
        return gain(self.means)

    @property
    def overall(self) -> float:
        """The update gain of the means over the seeds."""
        return float(gain(self.means.mean(axis=0, keepdims=True))[0])

    def shown(self) -> str:
        overall, seeds = self.overall, self.gains
        if np.isnan(overall):
            return f"undefined (new/old {(self.means[:, 1] - self.means[:, 0]).mean():+.3f})"
        if len(seeds) == 1:
            return f"{overall:+.2f}"
        undefined = f", undefined in {np.isnan(seeds).sum()}" if np.isnan(seeds).any() else ""
        return f"{overall:+.2f} ({np.nanmin(seeds):+.2f} to {np.nanmax(seeds):+.2f}{undefined})"


def gain(means: np.ndarray) -> np.ndarray:
    """(M(new,old) - M(old,old)) / (M(ceiling) - M(old,old)) of (N, 4) means."""
    room = means[:, 3] - means[:, 0]
    enough = room >= LEAST_ROOM
    return np.where(enough, (means[:, 1] - means[:, 0]) / np.where(enough, room, 1), np.nan)


def cell(tables: list[pa.Table], run: str, group: str, metric: str) -> Cell | None:
    """The result of one run in a group; None where it did not run."""
    rows = []
    for table in tables:
        chosen = pc.equal(table.column("group"), group)
        mine = table.filter(pc.and_(chosen, pc.equal(table.column("run"), run)))
        if len(mine):
            top = table.filter(chosen).column(f"sample ceiling {metric}")
            parts = [mine.column(f"{where}{pair} {metric}") for where, pair in _columns()]
            rows.append([pc.mean(part).as_py() for part in [*parts, top]])
    return Cell(np.array(rows)) if rows else None


def _columns() -> list[tuple[str, str]]:
    return [("", "old/old"), ("", "new/old"), ("sample ", "new/new")]


def table_of(tables: list[pa.Table], group: str) -> Iterator[str]:
    """Markdown: one line a run."""
    cells = " / ".join(PAIRS)
    yield f"| method | CMC@1: {cells} | update gain, CMC@1 | mAP: {cells} | update gain, mAP |"
    yield "|---|---|---|---|---|"
    for run in RUNS:
        columns = [run.name]
        for metric in METRICS:
            found = cell(tables, run.name, group, metric)
            if found is not None:
                columns.append(" / ".join(f"{value:.3f}".lstrip("0") for value in found.means.mean(axis=0)))
                columns.append(found.shown())
        if len(columns) > 1:
            yield f"| {' | '.join(columns)} |"


def curve_of(results: dict[str, list[pa.Table]]) -> Iterator[str]:
    """Markdown: new/old CMC@1 and the update gain over the size of the unlabelled sample, first seed."""
    runs = [RUNS[-2], CURVE[0], CURVE[1], RUNS[-1], CURVE[2]]
    yield f"| upgrade, group | old/old | {' | '.join(f'{run.sample}%' for run in runs)} | ceiling |"
    yield "|---|---|" + "---|" * (len(runs) + 1)
    for dataset, tables in results.items():
        for group in GROUPS:
            cells = [cell(tables[:1], run.name, group, "CMC@1") for run in runs]
            first = next(one for one in cells if one is not None).means[0]
            shown = ["" if one is None else f"{one.means[0, 1]:.3f} ({one.shown().split(' (')[0]})" for one in cells]
            yield f"| {dataset}, {group} | {first[0]:.3f} | {' | '.join(shown)} | {first[3]:.3f} |"


def summary_of(results: dict[str, list[pa.Table]]) -> Iterator[str]:
    """Markdown: the update gain of every method in every group, the best of each in bold."""
    places = [(dataset, group) for dataset in results for group in GROUPS]
    yield f"| method | {' | '.join(f'{dataset}, {group}' for dataset, group in places)} |"
    yield "|---|" + "---|" * len(places)
    found = [[cell(results[dataset], run.name, group, "CMC@1") for dataset, group in places] for run in RUNS]
    gains = np.array([[np.nan if one is None else one.overall for one in row] for row in found])
    for run, row in zip(RUNS, gains, strict=True):
        shown = ["undefined" if np.isnan(value) else f"{value:+.2f}" for value in row]
        best = [value == top for value, top in zip(row, np.nanmax(gains, axis=0), strict=True)]
        marked = [f"**{text}**" if first else text for text, first in zip(shown, best, strict=True)]
        yield f"| {run.name} | {' | '.join(marked)} |"


def report(results: dict[str, list[pa.Table]]) -> str:
    seeds = ", ".join(f"{dataset} {len(tables)}" for dataset, tables in results.items())
    lines = [INTRODUCTION, f"### Update gain, CMC@1 (seeds: {seeds})\n", *summary_of(results)]
    for dataset, tables in results.items():
        for group in GROUPS:
            sizes = [len(set(table.filter(pc.equal(table["group"], group))["id"].to_pylist())) for table in tables]
            counts = " / ".join(map(str, sizes))
            lines += [f"\n### {dataset}, {group}: {MEANINGS[group]} ({counts} queries)\n", *table_of(tables, group)]
    sizes = "### Over the size of the unlabelled sample: new/old CMC@1 (update gain), seed 0"
    return "\n".join([*lines, f"\n{sizes}\n", *curve_of(results)]) + "\n"


def plot(results: dict[str, list[pa.Table]], path: Path) -> None:
    """new/old against new/new, CMC@1, one panel for each upgrade and group; lines: the old model and the ceiling."""
    figure = Figure(figsize=(12, 3.7 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), len(GROUPS), squeeze=False)
    handles = {}
    for row, (dataset, tables) in enumerate(results.items()):
        for column, group in enumerate(GROUPS):
            panel = axes[row, column]
            for number, run in enumerate(RUNS):
                found = cell(tables, run.name, group, "CMC@1")
                if found is None:
                    continue
                old, new, own, top = found.means.mean(axis=0)
                marker = "*" if run.method == "gallery" else "osD^v<>P"[number % 8]
                size = 190 if marker == "*" else 55
                handles[run.name] = panel.scatter(own, new, marker=marker, s=size, color=f"C{number}", label=run.name)
            panel.axhline(old, color="0.5", linestyle=":")
            panel.axhline(top, color="0.5", linestyle="--")
            panel.set_title(f"{dataset}: {group}", fontsize=10)
            panel.set_xlabel("new/new CMC@1")
            panel.set_ylabel("new/old CMC@1")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("output", type=Path)
    asked = parser.parse_args()
    found = {name: sorted(asked.results.glob(f"{name}-*.parquet")) for name in UPGRADES}
    results = {name: [pq.read_table(path) for path in paths] for name, paths in found.items() if paths}
    asked.output.write_text(report(results))
    plot(results, asked.output.with_suffix(".svg"))


if __name__ == "__main__":
    main()
