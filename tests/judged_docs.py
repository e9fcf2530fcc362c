"""Documents and judged queries as a team has them that has only vectors: by a new encoder, and by one that is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES, ROWS, OTHERS, QUERIES, DIM, PROVING = 12, 360, 30, 400, 16, 40


def write_docs(folder: Path) -> None:
    """Write the files that the pages on maps and on re-ranking name.

    `rows.parquet`, which is `pairs.parquet` too, has no item of 30 rows of the gallery. `queries.parquet` has all
    queries; `choose.parquet` and `heldout.parquet` have half of them each.
    """
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLASSES, DIM)) / 2
    turn = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
    of_rows, of_queries = random.integers(0, CLASSES, ROWS), random.integers(0, CLASSES, QUERIES)
    old, new = {}, {}
    for name, labels in (("rows", of_rows), ("queries", of_queries)):
        old[name] = centres[labels] + 0.8 * random.normal(size=(len(labels), DIM))
        new[name] = (centres[labels] + 0.35 * random.normal(size=(len(labels), DIM))) @ turn
    rows, queries = [f"r{at:03d}" for at in range(ROWS)], [f"q{at:03d}" for at in range(QUERIES)]
    stored = np.concatenate([old["rows"], random.normal(size=(OTHERS, DIM))])
    _write(folder / "gallery.parquet", [*rows, *(f"x{at}" for at in range(OTHERS))], vector=stored)
    for name in ("pairs", "rows"):
        _write(folder / f"{name}.parquet", rows, vector=new["rows"])
    first = slice(0, PROVING)
    _write(folder / "proof.parquet", rows[first], vector=new["rows"][first], old=old["rows"][first])
    half = QUERIES // 2
    for name, part in (("queries", slice(None)), ("choose", slice(0, half)), ("heldout", slice(half, None))):
        _write(folder / f"{name}.parquet", queries[part], vector=new["queries"][part], old=old["queries"][part])
    lines = [f"{queries[q]}\t{rows[r]}\t1" for q in range(QUERIES) for r in np.flatnonzero(of_rows == of_queries[q])]
    (folder / "judged.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")


def _write(path: Path, ids: list[str], **columns: np.ndarray) -> None:
    table: dict[str, pa.Array] = {"id": pa.array(ids)}
    for column, values in columns.items():
        table[column] = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).reshape(-1)), DIM)
    pq.write_table(pa.table(table), path)
