"""Ranking, exact search and training against what they cannot be faster than, and against faiss and usearch.

    pip install -c .ci/constraints.txt '.[bench]' && pip install usearch
    python tests/benchmarks/speed.py FOLDER [--scale 1.0] [--page cli/guide/benchmarks.md]

Every figure is a ratio of seconds of one run: the things compared take turns, the first turn is dropped, and the median
of three others counts. FOLDER holds the Parquet files that are made (2.6 GB at scale 1). `--page` writes the table into
a guide page. The machine should be quiet: its load is printed above the table.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import normalised
from skipfill.store.retrieval.ranks import ranks_of_sets
from skipfill.store.retrieval.relevance import SameLabel
from skipfill.store.retrieval.search import search

STEP, K, TURNS = 50_000, 10, 4
SECTION = "## Speed"
Turn = Callable[[], object]


@dataclass(frozen=True)
class Data:
    """Rows of `classes` classes in a Parquet file, and queries of the same classes."""

    rows: StoredRows
    queries: np.ndarray
    labels: pa.Array

    @classmethod
    def made(cls, folder: Path, rows: int, dim: int, queries: int, classes: int) -> Data:
        """Write the file, unless it is there."""
        centres = np.random.default_rng(0).normal(size=(classes, dim)).astype(np.float32)

        def drawn(seed: int, count: int) -> tuple[np.ndarray, pa.Array]:
            random = np.random.default_rng(seed)
            of = random.integers(0, classes, count)
            noise = random.normal(size=(count, dim)).astype(np.float32)
            return normalised(centres[of] + 1.2 * noise), pa.array([f"class {one}" for one in of])

        path = folder / f"{rows}x{dim}.parquet"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dim)), ("label", pa.string())])
            with pq.ParquetWriter(path, schema, use_dictionary=["label"]) as writer:
                for first in range(0, rows, STEP):
                    vectors, labels = drawn(first + 1, min(STEP, rows - first))
                    ids = pa.array(np.arange(first, first + len(vectors)))
                    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim)
                    writer.write_table(pa.table([ids, column, labels], schema=schema))
        return cls(StoredRows.open([path], Columns(label="label"), None), *drawn(2**31, queries))

    def decode(self) -> None:
        """Arrow's decoding alone."""
        for path in self.rows.files:
            for _ in pq.ParquetFile(path).iter_batches(16_384, columns=list(self.rows.columns.names)):
                pass

    def decode_and_multiply(self) -> None:
        for block in self.rows.blocks():
            for start in range(0, len(self.queries), 512):
                self.queries[start : start + 512] @ block.vectors.T

    def rank(self, sets: int) -> None:
        nobody = pa.nulls(len(self.queries), pa.int64())
        vectors = [np.roll(self.queries, turn, axis=1) if turn else self.queries for turn in range(sets)]
        ranks_of_sets(self.rows, nobody, SameLabel(self.labels), vectors)

    def search(self) -> None:
        search(self.rows, self.queries, K, "ip")

    def all_vectors(self) -> np.ndarray:
        return np.concatenate([block.vectors for block in self.rows.blocks()])


def medians(turns: dict[str, Turn]) -> dict[str, float]:
    """Seconds of each, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(TURNS):
        for name, turn in turns.items():
            began = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(each[1:])) for name, each in seconds.items()}


def ranking(folder: Path, scale: float) -> Iterator[str]:
    count = int(1_000_000 * scale)
    data = Data.made(folder, count, 128, 1_000, 1_000)
    took = medians(
        {
            "bare": data.decode_and_multiply,
            "decode": data.decode,
            "one": lambda: data.rank(1),
            "two": lambda: data.rank(2),
        }
    )
    what = f"ranking, 1,000 queries, {count:,} x 128, 1,000 classes"
    yield row(what, "one set of queries", took["one"], "decode and multiply", took["bare"])
    product = took["bare"] - took["decode"]
    yield row(what, "each further set", took["two"] - took["one"], "its product", product)


def searching(folder: Path, rows: int, dim: int, queries: int) -> Iterator[str]:
    data = Data.made(folder, rows, dim, queries, 1_000)
    vectors = data.all_vectors()
    index = faiss.IndexFlatIP(dim)
    index.add(vectors)
    turns: dict[str, Turn] = {
        "skipfill, from Parquet": data.search,
        "faiss IndexFlatIP, in memory": lambda: index.search(data.queries, K),
        "decode and multiply": data.decode_and_multiply,
        "Arrow's decoding": data.decode,
    }
    if installed("usearch"):
        from usearch.index import MetricKind
        from usearch.index import search as exact

        turns["usearch exact, in memory"] = lambda: exact(vectors, data.queries, K, MetricKind.IP, exact=True)
    took = medians(turns)
    ours = took.pop("skipfill, from Parquet")
    for other, seconds in took.items():
        yield row(f"search, {queries:,} queries, {rows:,} x {dim}", "skipfill, from Parquet", ours, other, seconds)


def training(scale: float) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = int(12_000 * scale)
        random = np.random.default_rng(0)
        of = random.integers(0, 100, count)
        vectors = random.normal(size=(100, 384))[of] + random.normal(size=(count, 384))
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).reshape(-1)), 384)
        table = pa.table({"id": pa.array(np.arange(count)), "vector": column, "label": [f"class {one}" for one in of]})
        pq.write_table(table, folder / "items.parquet")
        run(folder, "init")
        run(folder, "train", "v1", "--items", "items.parquet", "--epochs", 1)
        run(folder, "encode", "v1", "items.parquet", "-o", "gallery.parquet")
        run(folder, "gallery", "add", "g", "gallery.parquet", "--space", "v1")
        made = iter(range(2, 100))

        def train() -> None:
            options = ("--method", "bct", "--epochs", 5, "-q")
            run(folder, "train", f"v{next(made)}", "--gallery", "g", "--items", "items.parquet", *options)

        def beside() -> None:
            with busy():
                train()

        took = medians({"alone": train, "beside": beside})
        what = f"training, bct, 5 epochs, {count:,} vectors"
        yield row(what, "beside one busy process", took["beside"], "alone", took["alone"])


@contextmanager
def busy() -> Iterator[None]:
    """A process that takes one processor."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(folder: Path, *arguments: object) -> None:
    code = "from skipfill.cli.__main__ import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def row(what: str, one: str, seconds: float, other: str, of_other: float) -> str:
    return f"| {what} | {one} | {seconds:.2f} | {other} | {of_other:.2f} | {seconds / of_other:.2f} |"


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def machine() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) or [platform.processor()]
    packages = ", ".join(
        f"{name} {installed(name) or 'not installed'}" for name in ("numpy", "pyarrow", "torch", "faiss-cpu", "usearch")
    )
    return f"{names[0]}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; {packages}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows")
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    before = machine()
    lines = ["| what | of | seconds | against | seconds | ratio |", "|---|---|---|---|---|---|"]
    for line in (
        *ranking(asked.folder, asked.scale),
        *searching(asked.folder, int(2_000_000 * asked.scale), 128, 200),
        *searching(asked.folder, int(500_000 * asked.scale), 384, 1_000),
        *training(asked.scale),
    ):
        lines.append(line)
        print(line, file=sys.stderr, flush=True)
    text = f"{SECTION}\n\nMade by `tests/benchmarks/speed.py`. {before}\n\n" + "\n".join(lines) + "\n"
    print(text)
    if asked.page:
        page = asked.page.read_text()
        rest = re.sub(rf"{SECTION}\n.*?(?=^## |\Z)", "", page, flags=re.DOTALL | re.MULTILINE)
        asked.page.write_text(f"{rest.rstrip()}\n\n{text}")


if __name__ == "__main__":
    main()
