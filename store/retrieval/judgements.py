"""Judgements of relevance as people keep them: TREC qrels, BEIR's TSV, or Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skipfill.store.errors import BadInput, reason
from skipfill.store.parquet import ids
from skipfill.store.parquet.files import open_parquet, refuse_no_file, unreadable
from skipfill.store.retrieval.relevance import Judgements

QUERY = ("query_id", "query-id", "query", "qid")
ROW = ("row_id", "corpus-id", "corpus_id", "doc_id", "docid", "item_id", "row", "id")
GRADE = ("grade", "score", "relevance", "rel")


def read_judgements(path: Path, queries: pa.Array, row_kind: pa.DataType) -> Judgements:
    """Read the judgements of these queries. Those of other queries and grades of 0 and below are left out.

    Args:
        path: `.parquet`; else text: TREC's four columns (query, iteration, row, grade), or BEIR's three.
        queries: (Q,) ids.
        row_kind: type of the gallery's ids.

    Raises:
        BadInput: not readable as judgements, a pair judged twice, or not one of these queries judged.
    """
    refuse_no_file(path)
    query, row, grade = _parquet(path) if path.suffix == ".parquet" else _text(path)
    table = pa.table(
        {
            "query": ids.plain(query, queries.type, f"{path}, query ids"),
            "row": ids.plain(row, row_kind, f"{path}, row ids"),
            "grade": _grades(grade, path),
        }
    )
    if table.group_by(["query", "row"]).aggregate([]).num_rows < table.num_rows:
        raise BadInput(path, expected="each pair of query and row judged once", found="pairs judged twice")
    places = ids.positions(table.column("query").combine_chunks(), queries)
    grades = table.column("grade").to_numpy()
    kept = (places >= 0) & (grades > 0)
    if not kept.any():
        raise BadInput(
            path,
            expected="judgements above 0 of the queries given",
            found=f"none among {table.num_rows} (first: query {table.column('query')[0].as_py()!r})"
            if table.num_rows
            else "no judgements",
        )
    order = np.argsort(places[kept], kind="stable")
    rows = table.column("row").combine_chunks().filter(pa.array(kept)).take(pa.array(order))
    return Judgements(len(queries), places[kept][order], rows, grades[kept][order].astype(np.float32))


def _parquet(path: Path) -> tuple[pa.Array, pa.Array, pa.Array]:
    file = open_parquet(path)
    names = [_one_of(path, file.schema_arrow.names, among) for among in (QUERY, ROW, GRADE)]
    try:
        table = file.read(columns=names)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    query, row, grade = (table.column(name).combine_chunks() for name in names)
    return query, row, grade


def _one_of(path: Path, names: list[str], among: tuple[str, ...]) -> str:
    for name in among:
        if name in names:
            return name
    raise BadInput(path, expected=f"a column {' or '.join(map(repr, among))}", found=f"columns {', '.join(names)}")


def _text(path: Path) -> tuple[pa.Array, pa.Array, pa.Array]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise BadInput(path, expected="judgements as text or .parquet", found=reason(error)) from error
    rows = [line.split("\t" if "\t" in line else None) for line in lines if line.strip()]
    if rows and not _is_number(rows[0][-1]):
        rows = rows[1:]  # a header
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]) or len(row) not in (3, 4):
            raise BadInput(
                f"{path}, judgement {number}",
                expected="query, row, grade (BEIR) or query, iteration, row, grade (TREC)",
                found=f"{len(row)} columns",
            )
    return pa.array([row[0] for row in rows]), pa.array([row[-2] for row in rows]), pa.array([row[-1] for row in rows])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _grades(column: pa.Array, path: Path) -> pa.Array:
    try:
        grades = column.cast(pa.float64())
    except pa.ArrowException as error:
        raise BadInput(f"{path}, grades", expected="numbers", found=reason(error)) from error
    values = pc.fill_null(grades, np.nan).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        kept = values.astype(np.float32)
    # A gain that float32 cannot hold: none that is above 0 may become 0, and none infinite.
    bad = np.flatnonzero(~np.isfinite(kept) | ((values > 0) & (kept == 0)))
    if len(bad):
        raise BadInput(
            f"{path}, judgement {bad[0] + 1}",
            expected="a grade that is 0 or less, or from 1e-45 to 3.4e38",
            found=str(grades[bad[0]].as_py()),
        )
    return grades
