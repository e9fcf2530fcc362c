"""Memory and time of fitting a closed-form map to many pairs, beside a pass that decodes and multiplies.

    python -m tests.benchmarks.closed_form --pairs 1000000 --dim 768 --folder /tmp/closed-form

writes a gallery and the pairs in its order and in another one, as random vectors with a shared part. It fits a map in a
process of its own for each order, and measures processor time and the largest resident memory. The pass that it is
compared with decodes both files in blocks, as Arrow does, and sums the float64 products that the method needs. The
files are kept for the next run.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

BLOCK = 16_384


def write(folder: Path, pairs: int, dim: int) -> None:
    """A gallery, and new vectors of its rows in its order and shuffled; nothing where they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "shuffled.parquet").exists():
        return
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])
    random = np.random.default_rng(0)
    rotation = random.normal(size=(dim, dim)).astype(np.float32) / np.sqrt(dim)
    with (
        pq.ParquetWriter(folder / "gallery.parquet", schema, compression="none", use_dictionary=False) as gallery,
        pq.ParquetWriter(folder / "ordered.parquet", schema, compression="none", use_dictionary=False) as ordered,
    ):
        for start in range(0, pairs, BLOCK):
            ids = np.arange(start, min(start + BLOCK, pairs))
            old = random.normal(size=(len(ids), dim)).astype(np.float32)
            new = old @ rotation + random.normal(size=old.shape).astype(np.float32)
            for writer, vectors in ((gallery, old), (ordered, new)):
                column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
                writer.write_table(pa.table({"id": ids, "vector": column}, schema))
    blocks = random.permutation(pq.ParquetFile(folder / "ordered.parquet").num_row_groups)
    with pq.ParquetWriter(folder / "shuffled.parquet", schema, compression="none", use_dictionary=False) as shuffled:
        file = pq.ParquetFile(folder / "ordered.parquet")
        for number in blocks:
            table = file.read_row_group(int(number))
            shuffled.write_table(table.take(random.permutation(len(table))))


def decode_and_multiply(folder: Path, dim: int, *, with_new: bool) -> None:
    """The pass to compare with."""
    cross, own = torch.zeros(dim, dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
    streams = [pq.ParquetFile(folder / f"{name}.parquet") for name in ("ordered", "gallery")]
    for batches in zip(*(one.iter_batches(BLOCK, columns=["id", "vector"]) for one in streams), strict=True):
        u, v = (torch.from_numpy(one.column(1).flatten().to_numpy().reshape(-1, dim)).double() for one in batches)
        cross.addmm_(u.T, v)
        if with_new:
            own.addmm_(u.T, u)


def fit(folder: Path, order: str, method: str) -> None:
    """Train by the command line, in a store of its own."""
    from skipfill.cli.app import run

    store = folder / f"store-{order}-{method}"
    for arguments in (
        ["init", "--store", store],
        ["gallery", "add", "g", folder / "gallery.parquet", "--space", "old", "--store", store],
        ["train", "v2", "--gallery", "g", "--items", folder / f"{order}.parquet", "--method", method, "--store", store],
    ):
        before = resource.getrusage(resource.RUSAGE_SELF)
        assert run([*map(str, arguments), "--quiet"]) == 0
        after = resource.getrusage(resource.RUSAGE_SELF)
    print("train", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measured(arguments: argparse.Namespace, task: str) -> tuple[float, float]:
    """Processor seconds and the largest resident memory in GB, of one task in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.closed_form", "--task", task]
    for name in ("pairs", "dim", "folder", "method"):
        command += [f"--{name}", str(getattr(arguments, name))]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(said[said.index("train") + 1]), float(said[said.index("memory") + 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/closed-form"))
    parser.add_argument("--method", default="procrustes")
    parser.add_argument("--task", default="")
    arguments = parser.parse_args()
    if arguments.task:
        if arguments.task == "pass":
            before = resource.getrusage(resource.RUSAGE_SELF)
            decode_and_multiply(arguments.folder, arguments.dim, with_new=arguments.method != "procrustes")
            after = resource.getrusage(resource.RUSAGE_SELF)
            print("train", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        else:
            fit(arguments.folder, arguments.task, arguments.method)
        print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return
    write(arguments.folder, arguments.pairs, arguments.dim)
    base, _ = measured(arguments, "pass")
    print(
        f"{arguments.pairs:,} pairs x {arguments.dim}, {arguments.method}: a pass takes {base:.1f} s of processor time"
    )
    for order in ("ordered", "shuffled"):
        seconds, memory = measured(arguments, order)
        print(f"{order}: {seconds:.1f} s, {seconds / base:.2f} times the pass, {memory:.2f} GB")


if __name__ == "__main__":
    main()
