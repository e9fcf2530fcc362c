"""Seven updates with a replacement in the middle, by the commands that users type: the version matrix, AC and AM.

    python tests/benchmarks/sequence.py DATA_FOLDER RESULTS_FOLDER [--seeds 0 1 2] [--only items] [--run hoc]

DATA_FOLDER holds fashion_mnist/train.parquet and test.parquet (id, image, label). One Parquet file a sequence, run and
seed comes out, a row for each cell of each matrix; what is there already is not run again. The table of all seeds is
printed as markdown. A sequence takes about four minutes on one core. Not part of the test run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sequences import MODELS, REPLACED, SEQUENCES, VERTICES, World
from upgrade import skipfill

from skipfill.compat.evaluation.sequences.summaries import average_compatibility, average_multimodel, backward, forward

STEPS = 600  # of each training, at most 128 items a step; the model that is trained apart: twice as many
LR = 1e-3  # of models that start from another
RUNS = {
    "simplex": ("--method", "simplex"),
    "hoc": ("--method", "hoc", "--set", "hoc.classification=0.5"),
    "hoc-published": ("--method", "hoc"),
}
METRICS = ("CMC@1", "mAP")
SUMMARIES = (average_compatibility, average_multimodel, backward, forward)
GALLERIES = {"rows": (), "templates": ("--templates",)}


def train(folder: Path, world: World, run: str, seed: int) -> None:
    """Train v1 to v8, and `apart`, which is told the class slots and nothing else.

    Each starts from the one before, the replacement from `apart`; and each is told what the one before it made of
    its items.
    """
    os.environ["SKIPFILL_STORE"] = str(folder / ".skipfill")
    skipfill("init")
    for step, items in enumerate(world.items, 1):
        options: tuple[object, ...] = ()
        if step > 1:
            before = f"v{step - 1}"
            stored = folder / f"stored-{before}.parquet"
            skipfill("encode", before, items, "-o", stored)
            skipfill("gallery", "add", f"g-{before}", stored, "--space", before)
            options = ("--gallery", f"g-{before}", "--init", before, "--lr", LR)
        if step == REPLACED:
            train_one("apart", world.apart, run, 2 * STEPS, "--slots-of", before, "--seed", 100 * seed + 50)
            options = ("--gallery", f"g-{before}", "--init", "apart", "--slots-of", "apart", "--lr", LR)
        train_one(f"v{step}", items, run, STEPS, *options, "--seed", 100 * seed + step)


def train_one(name: str, items: Path, run: str, steps: int, *options: object) -> None:
    began, batches = time.monotonic(), -(-pq.read_metadata(items).num_rows // 128)
    simplex = f"{RUNS[run][1]}.classes={VERTICES}"
    epochs = max(1, round(steps / batches))
    skipfill("train", name, "--items", items, *RUNS[run], "--set", simplex, "--epochs", epochs, *options)
    print(f"{time.strftime('%H:%M:%S')} {items.parent.name} {name} {time.monotonic() - began:.0f} s", flush=True)


def measured(world: World) -> Iterator[dict[str, object]]:
    """One row for each cell of each matrix, once with the replacement as it is, once with `apart` in its place."""
    told = [f"v{step}" for step in range(1, MODELS + 1)]
    replacements = {"fine-tuned": told, "apart": [*told[: REPLACED - 1], "apart", *told[REPLACED:]]}
    ways = itertools.product(world.asked.items(), GALLERIES.items(), replacements.items())
    for (classes, asked), (gallery, options), (replacement, names) in ways:
        for pair in dict.fromkeys(asked):
            columns = [column for column in range(MODELS) if asked[column] == pair]
            sources = ("--items", pair[0], "--gallery-items", pair[1], *options)
            found = skipfill("matrix", *names[columns[0] :], *sources)["matrix"]["matrices"]
            for metric, column in itertools.product(METRICS, columns):
                for row in range(column, MODELS):
                    value = found[metric][row - columns[0]][column - columns[0]]
                    cell = {"metric": metric, "row": row, "column": column, "value": value}
                    yield {"classes": classes, "gallery": gallery, "replacement": replacement} | cell


def matrices_of(table: pa.Table) -> dict[tuple[str, str, str], dict[str, np.ndarray]]:
    """(classes, gallery, replacement) -> metric -> (T, T), NaN above the diagonal."""
    found: dict[tuple[str, str, str], dict[str, np.ndarray]] = {}
    for one in table.to_pylist():
        metrics = found.setdefault((one["classes"], one["gallery"], one["replacement"]), {})
        metrics.setdefault(one["metric"], np.full((MODELS, MODELS), np.nan))[one["row"], one["column"]] = one["value"]
    return found


def report(folder: Path, seeds: list[int]) -> Iterator[str]:
    """Markdown: means over the seeds."""
    head = " | ".join(f"{metric}: AC (each seed) | AM | backward | forward" for metric in METRICS)
    yield f"| growing | classes | gallery | replacement | run | {head} |"
    yield "|---" * 13 + "|"
    for name in SEQUENCES:
        found: dict[str, list[dict[tuple[str, str, str], dict[str, np.ndarray]]]] = {}
        for run, seed in itertools.product(RUNS, seeds):
            if (path := folder / f"{name}-{run}-{seed}.parquet").exists():
                found.setdefault(run, []).append(matrices_of(pq.read_table(path)))
        keys = dict.fromkeys(key for tables in found.values() for one in tables for key in one)
        for key, (run, tables) in itertools.product(keys, found.items()):
            cells = [_summary([one[key][metric] for one in tables]) for metric in METRICS]
            yield f"| {name} | {' | '.join(key)} | {run} | {' | '.join(cells)} |"


def _summary(matrices: list[np.ndarray]) -> str:
    rows = [[summary(one) for summary in SUMMARIES] for one in matrices]
    shares, *others = np.array(rows, float).T
    each = ", ".join(f"{value:.2f}" for value in shares)
    return " | ".join([f"{shares.mean():.2f} ({each})", *(f"{values.mean():.3f}" for values in others)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=SEQUENCES, action="append")
    parser.add_argument("--run", choices=RUNS, action="append")
    asked = parser.parse_args()
    asked.results.mkdir(parents=True, exist_ok=True)
    for name, run, seed in itertools.product(asked.only or SEQUENCES, asked.run or RUNS, asked.seeds):
        target = asked.results / f"{name}-{run}-{seed}.parquet"
        if target.exists():
            continue
        with tempfile.TemporaryDirectory(prefix=f"{name}-{run}-{seed}-") as scratch:
            world = SEQUENCES[name](asked.data, Path(scratch), seed)
            train(Path(scratch), world, run, seed)
            rows = list(measured(world))
        pq.write_table(pa.Table.from_pylist(rows), target, compression="zstd")
    print("\n".join(report(asked.results, asked.seeds)))


if __name__ == "__main__":
    main()
