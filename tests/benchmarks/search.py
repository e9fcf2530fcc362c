"""Exact search of 2 million rows x 128 by command: peak memory, and the same hits as faiss IndexFlatIP.

python tests/benchmarks/search.py FOLDER [--rows 2000000] [--queries 200]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DIM, STEP, K = 128, 50_000, 10


def vectors(part: int, rows: int) -> np.ndarray:
    made = np.random.default_rng(part).normal(size=(rows, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def table(first: int, rows: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIM)
    return pa.table({"id": pa.array(np.arange(first, first + len(rows))), "vector": column})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--queries", type=int, default=200)
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    gallery, queries = folder / "gallery.parquet", folder / "queries.parquet"
    with pq.ParquetWriter(gallery, table(0, vectors(0, 1)).schema, use_dictionary=False) as writer:
        for part in range(asked.rows // STEP):
            writer.write_table(table(part * STEP, vectors(part, STEP)))
    asked_for = vectors(10**6, asked.queries)
    pq.write_table(table(0, asked_for), queries)

    def skipfill(*arguments: object) -> float:
        began = time.monotonic()
        code = "from skipfill.cli.app import main; main()"
        subprocess.run([sys.executable, "-c", code, *(str(one) for one in arguments)], cwd=folder, check=True)
        return time.monotonic() - began

    skipfill("init")
    skipfill("gallery", "add", "g", gallery.name, "--space", "external", "--metric", "ip")
    seconds = skipfill("search", "g", "--vectors", queries.name, "-k", K, "-o", "hits.parquet")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    hits = pq.read_table(folder / "hits.parquet")
    index = faiss.IndexFlatIP(DIM)
    for part in range(asked.rows // STEP):
        index.add(vectors(part, STEP))
    began = time.monotonic()
    scores, ids = index.search(asked_for, K)
    theirs = time.monotonic() - began
    same = np.array_equal(hits.column("id").to_numpy().reshape(-1, K), ids)
    apart = np.abs(hits.column("score").to_numpy().reshape(-1, K) - scores).max()
    print(f"{asked.rows:,} rows x {DIM}, {asked.queries} queries, k {K}")
    print(f"peak memory of register and search: {peak:.2f} GiB")
    print(f"search, start to end: {seconds:.1f} s; faiss, vectors already in memory: {theirs:.1f} s")
    print(f"same ids as faiss: {same}; largest difference of scores: {apart:.1e}")


if __name__ == "__main__":
    main()
