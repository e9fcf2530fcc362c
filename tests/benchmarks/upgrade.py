"""Every method on real upgrades, by the commands that users type, under one protocol.

    pip install -c .ci/constraints.txt '.[bench]'
    python tests/benchmarks/upgrade.py DATA_FOLDER RESULTS_FOLDER [--seeds 5] [--only NAME] [--again METHOD]
    python tests/benchmarks/tables.py RESULTS_FOLDER OUTPUT.md

DATA_FOLDER holds omniglot/background.parquet (id, image, label, alphabet), and fashion_mnist/ (id, image, label) and
banking77/ (id, text, label), each with train.parquet and test.parquet. With a folder cifar100/, which holds the files
train, test and meta that its authors distribute, ResNet-18 is trained on CIFAR-100 as well: on a GPU, if there is one.
One Parquet file a data set and seed comes out, a row for each method and query; what is there already is not run again,
except for the lines of a method named with --again, which take the place of those that are there: the old model and the
ceiling are trained once more, and have to answer every query as they did. Without CIFAR-100, a seed takes an hour of
processor time. Not part of the test run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upgrades import UPGRADES, Upgrade


@dataclass(frozen=True)
class Run:
    """One line of the tables. Attributes: sample, percentage of the gallery's items given without labels."""

    name: str
    method: str
    options: tuple[str, ...] = ()
    sample: int = 0
    gallery: str = "g-v1"


RUNS = [
    Run("l2", "l2"),
    Run("bct", "bct"),
    Run("hot-refresh", "hot-refresh"),
    Run("oca", "oca"),
    Run("oca without T", "oca", ("--set", "oca.transform=false")),
    Run("bt2", "bt2", ("--teacher", "ceiling")),
    Run("simplex", "simplex", gallery="g-v1-simplex"),
    Run("hoc", "hoc", gallery="g-v1-simplex"),
    Run("gallery", "gallery"),
    Run("gallery, 10% sample", "gallery", sample=10),
]
CURVE = [Run(f"gallery, {share}% sample", "gallery", sample=share) for share in (1, 3, 30)]


def skipfill(*arguments: object) -> Any:
    """Run one command in this process; its JSON document."""
    from skipfill.cli.app import run as command

    quiet = [] if arguments[0] == "init" else ["--quiet"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command([*(str(one) for one in arguments), "--json", *quiet])
    document = json.loads(printed.getvalue())
    if "error" in document:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {document['error']}")
    return document


def per_query(folder: Path, upgrade: Upgrade, seed: int, runs: list[Run]) -> Iterator[pa.Table]:
    """Train and check every run; a row for each query: id, label, group, and the value of each pair and metric."""
    fixed = ("--seed", seed, "--epochs", upgrade.epochs, *(("--encoder", upgrade.encoder) if upgrade.encoder else ()))
    os.environ["SKIPFILL_CODE"] = upgrade.encoder
    store = folder / ".skipfill"
    os.environ["SKIPFILL_STORE"] = str(store)
    skipfill("init")
    for name, method in (("v1", "independent"), ("v1-simplex", "simplex")):
        skipfill("train", name, "--method", method, "--items", upgrade.old_items, *fixed)
        skipfill("encode", name, upgrade.stored, "-o", folder / f"{name}.parquet")
        skipfill("gallery", "add", f"g-{name}", folder / f"{name}.parquet", "--space", name)
    against = ("--items", upgrade.items, "--hold-out", upgrade.heldout)
    skipfill("train", "ceiling", "--method", "independent", *against, "--gallery", "g-v1", *fixed)
    for number, run in enumerate(runs):
        align = ("--align", upgrade.samples[run.sample]) if run.sample else ()
        model, began = f"m{number}", time.monotonic()
        options = (*against, "--gallery", run.gallery, *run.options, *align, *fixed)
        skipfill("train", model, "--method", run.method, *options)
        sources = ("--items", upgrade.heldout, "--gallery-items", upgrade.gallery_items)
        sources += ("--ceiling", "ceiling") if number == 0 else ()
        check = skipfill("check", run.gallery, model, *sources)["check"]
        table = pq.read_table(store / "checks" / run.gallery / check["id"] / "queries.parquet")
        groups = [upgrade.groups[label] for label in table.column("label").to_pylist()]
        yield table.append_column("run", pa.array([run.name] * len(table))).append_column("group", pa.array(groups))
        print(f"{time.strftime('%H:%M:%S')} {folder.name} {run.name} {time.monotonic() - began:.0f} s", flush=True)


def replaced(before: pa.Table, again: pa.Table) -> pa.Table:
    """The results with these runs in place of those of the same names.

    Raises:
        SystemExit: the old model or the ceiling does not answer every query as it did.
    """
    mine = pc.is_in(before.column("run"), value_set=again.column("run").combine_chunks().unique())
    for column in before.column_names:
        if "old/old" in column or "ceiling" in column:
            was = answers(before.filter(mine) if "old/old" in column else before, column)
            if was != answers(again, column):
                raise SystemExit(f"{column}: not what it was: move the earlier results away to begin anew")
    return pa.concat_tables([before.filter(pc.invert(mine)), again], promote_options="default")


def answers(table: pa.Table, column: str) -> dict[str, float]:
    """The value of each query that has one."""
    some = table.filter(pc.is_valid(table.column(column)))
    return dict(zip(some.column("id").to_pylist(), some.column(column).to_pylist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=UPGRADES, action="append")
    parser.add_argument("--again", metavar="METHOD")
    asked = parser.parse_args()
    asked.results.mkdir(parents=True, exist_ok=True)
    for seed in range(asked.seeds):
        for dataset in asked.only or [name for name in UPGRADES if (asked.data / name).is_dir()]:
            target = asked.results / f"{dataset}-{seed}.parquet"
            before = pq.read_table(target) if target.exists() else None
            if before is not None and asked.again is None:
                continue
            # The curve over the size of the sample: the first seed alone.
            runs = RUNS + (CURVE if seed == 0 else [])
            if before is not None:
                runs = [run for run in runs if run.method == asked.again]
            with tempfile.TemporaryDirectory(prefix=f"{dataset}-{seed}-") as scratch:
                upgrade = UPGRADES[dataset](asked.data, Path(scratch), seed)
                tables = list(per_query(Path(scratch), upgrade, seed, runs))
            table = pa.concat_tables(tables, promote_options="default")
            table = table if before is None else replaced(before, table)
            pq.write_table(table, target, compression="zstd", compression_level=15)


if __name__ == "__main__":
    main()
