"""Ranking, exact search and training against what they cannot be faster than, and against faiss and usearch.

    pip install -c .ci/constraints.txt '.[bench]' && pip install usearch
    python tests/benchmarks/speed.py FOLDER [--page cli/guide/benchmarks.md] [--minutes 8]
                                     [--rank 1000000] [--search 2000000] [--wide 500000] [--items 12000]
                                     [--sizes 100000 300000 1000000] [--parts rank search wide train sizes]
    python tests/benchmarks/speed.py FOLDER --minutes 1 --rank 20000 --search 20000 --wide 5000 --items 1000 \
                                     --sizes 10000 30000    # a trial of the script
    python tests/benchmarks/speed.py FOLDER --parts wide --minutes 16                        # search alone
    python tests/benchmarks/speed.py FOLDER --parts sizes --sizes 100000 1000000 10000000    # memory and growth alone

Every figure is a ratio of seconds of one run: the things compared take turns, the first turn is dropped, and the median
of three others counts; of fewer, at least one, where the minutes are over. `--rank`, `--search` and `--wide` are rows
of 128, 128 and 384 dimensions. `--sizes` are rows of processes of their own, for memory and growth; 10,000,000 take
minutes more to write and 10 GB. FOLDER holds the Parquet files that are made, and their packed copies (4.9 GB as it
is), and is used again. `--parts` leaves out all others. `--page` writes the tables of all parts into a guide page. The
machine should be quiet: its load is printed above the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.inference.bfloat16 import rough_products
from skipfill.store.parquet.packed.cache import PackedCache, PackedFiles
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Columns, StoredRows
from skipfill.store.parquet.vectors import normalised
from skipfill.store.retrieval.ranks import ranks_of_sets
from skipfill.store.retrieval.relevance import SameLabel
from skipfill.store.retrieval.search import search

STEP, K, TURNS = 50_000, 10, 4
SHARES = {"rank": 0.4, "search": 0.25, "wide": 0.25, "train": 0.1}
"""Share of the minutes that may pass before the turns of each part end; sizes come last and take their time."""
PARTS = (*SHARES, "sizes")
PARQUET, CACHE, FAISS = "skipfill, from Parquet", "skipfill, from its cache", "faiss IndexFlatIP, in memory"
TASKS = {
    "search": "search, 200 queries",
    "cache": "search, 200 queries, from its cache",
    "rank": "ranking, 200 queries, two sets",
}
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

    def cached(self) -> Data:
        """The same rows from their packed copy. A first pass makes it, unless it is there."""
        cache = PackedCache(lambda text: print(text, file=sys.stderr, flush=True))
        return replace(self, rows=PackedFiles(self.rows, cache).rows)

    def decode(self) -> None:
        """Arrow's decoding alone."""
        for path in self.rows.files:
            for _ in pq.ParquetFile(path).iter_batches(16_384, columns=list(self.rows.columns.names)):
                pass

    def decode_and_multiply(self) -> None:
        for block in self.rows.blocks():
            for start in range(0, len(self.queries), 512):
                self.queries[start : start + 512] @ block.vectors.T

    def alike(self) -> np.ndarray:
        """Query vectors of another model of the same space."""
        noise = np.random.default_rng(1).normal(size=self.queries.shape).astype(np.float32)
        return normalised(self.queries + 0.02 * noise)

    def strange(self) -> np.ndarray:
        """Query vectors of a model of another space: relevant rows score as others do, in the thick of them."""
        return np.roll(self.queries, 1, axis=1)

    def rank(self, *further: np.ndarray) -> None:
        nobody = pa.nulls(len(self.queries), pa.int64())
        ranks_of_sets(self.rows, nobody, SameLabel(self.labels), [self.queries, *further])

    def search(self) -> None:
        search(self.rows, self.queries, K, "ip", rough=rough_products(self.queries, self.rows.count))

    def all_vectors(self) -> np.ndarray:
        return np.concatenate([block.vectors for block in self.rows.blocks()])


def medians(turns: dict[str, Turn], limit: float) -> dict[str, float]:
    """Seconds of each, in turns, as a turn says or its duration. From the third on, none begins that would be likely to
    end after `limit` seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    first = time.perf_counter()
    for number in range(TURNS):
        if number > 1 and (time.perf_counter() - first) * (number + 1) / number > limit:
            break
        for name, turn in turns.items():
            began = time.perf_counter()
            said = turn()
            seconds[name].append(said if isinstance(said, float) else time.perf_counter() - began)
    return {name: float(np.median(each[1:])) for name, each in seconds.items()}


def ranking(folder: Path, count: int, limit: float) -> Iterator[str]:
    data = Data.made(folder, count, 128, 1_000, 1_000)
    vectors = data.all_vectors()
    scratch = np.empty((len(data.queries), BLOCK_ROWS), np.float32)  # to get it anew costs page faults

    def multiply() -> None:
        for start in range(0, count, BLOCK_ROWS):
            block = vectors[start : start + BLOCK_ROWS]
            np.matmul(data.queries, block.T, out=scratch[:, : len(block)])

    took = medians(
        {
            "bare": data.decode_and_multiply,
            "product": multiply,
            "one": data.rank,
            "alike": lambda: data.rank(data.alike()),
            "strange": lambda: data.rank(data.strange()),
        },
        limit,
    )
    what = f"ranking, 1,000 queries, {count:,} x 128, 1,000 classes"
    yield row(what, "one set of queries", took["one"], "decode and multiply", took["bare"])
    for kind, of in (("alike", "of its space"), ("strange", "of another space")):
        yield row(what, f"a further set, {of}", took[kind] - took["one"], "its product", took["product"])


def searching(folder: Path, rows: int, dim: int, queries: int, limit: float) -> Iterator[str]:
    data = Data.made(folder, rows, dim, queries, 1_000)
    vectors = data.all_vectors()
    index = faiss.IndexFlatIP(dim)
    index.add(vectors)
    turns: dict[str, Turn] = {
        PARQUET: data.search,
        CACHE: data.cached().search,
        FAISS: lambda: index.search(data.queries, K),
        "decode and multiply": data.decode_and_multiply,
        "Arrow's decoding": data.decode,
    }
    if installed("usearch"):
        from usearch.index import MetricKind
        from usearch.index import search as exact

        turns["usearch exact, in memory"] = lambda: exact(vectors, data.queries, K, MetricKind.IP, exact=True)
    took = medians(turns, limit)
    for ours in (PARQUET, CACHE):
        for other, seconds in took.items():
            if other not in (ours, CACHE):
                yield row(f"search, {queries:,} queries, {rows:,} x {dim}", ours, took[ours], other, seconds)


def training(count: int, limit: float) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
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

        def train() -> float:
            """Seconds without imports, as the command says them."""
            options = ("--method", "bct", "--epochs", 5, "--json")
            done = run(folder, "train", f"v{next(made)}", "--gallery", "g", "--items", "items.parquet", *options)
            return float(json.loads(done)["seconds"])

        def beside() -> float:
            with busy():
                return train()

        took = medians({"alone": train, "beside": beside}, limit)
        what = f"training, bct, 5 epochs, {count:,} vectors"
        yield row(what, "beside one busy process", took["beside"], "alone", took["alone"])


@dataclass(frozen=True)
class Alone:
    """Time and memory of one task in a process of its own.

    Attributes:
        seconds: of the second time, without imports.
        peak: bytes of its memory at most, imports and all.
    """

    seconds: float
    peak: int

    @classmethod
    def of(cls, task: str, folder: Path, rows: int) -> Alone:
        done = subprocess.run(
            [sys.executable, __file__, str(folder), "--alone", task, str(rows)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return cls(**json.loads(done.stdout))


def alone(task: str, folder: Path, rows: int) -> Alone:
    """The task in this process."""
    data = Data.made(folder, rows, 128, 200, 1_000)
    turn = {"search": data.search, "cache": data.cached().search, "rank": lambda: data.rank(data.alike())}[task]
    for _ in range(2):
        began = time.perf_counter()
        turn()
        seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text()
    return Alone(seconds, int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024)


def growth(folder: Path, sizes: list[int]) -> Iterator[str]:
    """Rows of the second table; none without sizes."""
    if not sizes:
        return
    for rows in sizes:
        Data.made(folder, rows, 128, 200, 1_000)  # not in the process whose memory counts
    for task, what in TASKS.items():
        took = [Alone.of(task, folder, rows) for rows in sizes]
        logs = np.log(sizes), np.log([one.seconds for one in took])
        exponent = float(np.polyfit(*logs, 1)[0])
        cells = " | ".join(f"{one.seconds:.2f} s, {one.peak / 1e6:,.0f} MB" for one in took)
        yield f"| {what} | {cells} | {exponent:.2f} |"


@contextmanager
def busy() -> Iterator[None]:
    """A process that takes one processor."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(folder: Path, *arguments: object) -> str:
    """The output of a command that chooses its threads itself."""
    code = "from skipfill.cli.__main__ import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


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


def section(asked: argparse.Namespace) -> str:
    """The text of the guide page: how it was made, and two tables."""
    before, minutes = machine(), {name: 60 * asked.minutes * share for name, share in SHARES.items()}
    parts = {
        "rank": ranking(asked.folder, asked.rank, minutes["rank"]),
        "search": searching(asked.folder, asked.search, 128, 200, minutes["search"]),
        "wide": searching(asked.folder, asked.wide, 384, 1_000, minutes["wide"]),
        "train": training(asked.items, minutes["train"]),
    }
    lines = ["| what | of | seconds | against | seconds | ratio |", "|---|---|---|---|---|---|"]
    lines += shown(line for name, of_part in parts.items() if name in asked.parts for line in of_part)
    sizes = asked.sizes if "sizes" in asked.parts else []
    titles = " | ".join(f"{rows:,} rows" for rows in sizes)
    more = [f"| rows of 128 dimensions | {titles} | exponent |", "|---" * (len(sizes) + 2) + "|"]
    more += shown(growth(asked.folder, sizes))
    explained = (
        "Seconds, and memory at the peak of a process that does nothing else, imports and all. Seconds grow as the "
        "number of rows to the power of the exponent:"
    )
    made = f"Made by `tests/benchmarks/speed.py` in one run, things that are compared in turns. {before}"
    first, second = "\n".join(lines), "\n".join(more)
    return f"{SECTION}\n\n{wrapped(made)}\n\n{first}\n\n{wrapped(explained)}\n\n{second}\n"


def shown(lines: Iterable[str]) -> Iterator[str]:
    """The lines, each shown as soon as it is known."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)
        yield line


def wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    for name, rows in {"rank": 1_000_000, "search": 2_000_000, "wide": 500_000, "items": 12_000}.items():
        parser.add_argument(f"--{name}", type=int, default=rows)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    os.environ["XDG_CACHE_HOME"] = str(asked.folder.absolute() / "cache")
    if asked.page and set(asked.parts) != set(PARTS):
        parser.error("--page takes all parts")
    if asked.alone:
        task, rows = asked.alone
        print(json.dumps(asdict(alone(task, asked.folder, int(rows)))))
        return
    text = section(asked)
    print(text)
    if asked.page:
        page = asked.page.read_text()
        rest = re.sub(rf"{SECTION}\n.*?(?=^## |\Z)", "", page, flags=re.DOTALL | re.MULTILINE)
        asked.page.write_text(f"{rest.rstrip()}\n\n{text}")


if __name__ == "__main__":
    main()
