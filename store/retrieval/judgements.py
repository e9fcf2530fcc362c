"""Judgements of relevance as people keep them: TREC qrels, BEIR's TSV, or Parquet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skipfill.store.errors import BadInput, reason
from skipfill.store.parquet import ids
from skipfill.store.parquet.files import unreadable
from skipfill.store.parquet.formats.recognise import form_of_file, open_rows
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, opened
from skipfill.store.retrieval.relevance import Judgements

QUERY = ("query_id", "query-id", "query", "qid")
ROW = ("row_id", "corpus-id", "corpus_id", "doc_id", "docid", "item_id", "row", "id")
GRADE = ("grade", "score", "relevance", "rel", "relevancy", "label")
HEADER = {*QUERY, *ROW, *GRADE, "topic", "iteration", "iter", "q0", "document", "document#"}
"""Words of a text's first line if that is not a judgement."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class _Judged:
    """Columns of J judgements.

    Attributes:
        query, row: (J,) ids.
        grade: (J,) numbers.
        places: (J,) where in the file each is, counted as `counted`.
        counted: `line`, from 1, of a text; `row`, from 0, of Parquet.
    """

    query: pa.Array
    row: pa.Array
    grade: pa.Array
    places: Sequence[int]
    counted: str


def read_judgements(path: Path, queries: pa.Array, row_kind: pa.DataType) -> Judgements:
    """Read the judgements of these queries. Those of other queries and grades of 0 and below are left out.

    Args:
        path: `.parquet`, JSON lines, or Arrow; else text, a judgement in each line: TREC's four columns (query,
            iteration, row, grade), or BEIR's three, divided by tabs or spaces. Of names alone, the first line is a
            header.
        queries: (Q,) ids.
        row_kind: type of the gallery's ids.

    Raises:
        BadInput: not readable as judgements, a pair judged twice, or not one of these queries judged.
    """
    judged = _judged(path)
    table = pa.table(
        {
            "query": ids.plain(judged.query, queries.type, f"{path}, query ids"),
            "row": ids.plain(judged.row, row_kind, f"{path}, row ids"),
            "grade": _grades(judged, path),
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


def judged_queries(path: Path, kind: pa.DataType) -> pa.Array:
    """The ids of the queries that judgements name, as ids of type `kind`; see `read_judgements`."""
    return ids.plain(_judged(path).query, kind, f"{path}, query ids")


def _judged(path: Path) -> _Judged:
    try:
        form = form_of_file(path)
    except FileNotFoundError:
        form = ""
    return _columns(path) if form or path.suffix == ".parquet" else _text(path)


def _columns(path: Path) -> _Judged:
    file = opened(open_rows, path)
    names = [_one_of(path, file.schema_arrow.names, among) for among in (QUERY, ROW, GRADE)]
    try:
        batches = list(file.iter_batches(BLOCK_ROWS, names))
        table = pa.Table.from_batches(batches, pa.schema([file.schema_arrow.field(name) for name in names]))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
    query, row, grade = (table.column(name).combine_chunks() for name in names)
    return _Judged(query, row, grade, range(len(table)), "row")


def _one_of(path: Path, names: list[str], among: tuple[str, ...]) -> str:
    for name in among:
        if name in names:
            return name
    raise BadInput(path, expected=f"a column {' or '.join(map(repr, among))}", found=f"columns {', '.join(names)}")


def _text(path: Path) -> _Judged:
    try:
        # Lines as an editor counts them: an id may hold the other characters that `splitlines` ends a line at.
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise BadInput(path, expected="judgements as text or .parquet", found=reason(error)) from error
    places: list[int] = []
    rows: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        words = _words(line.removesuffix("\r"))
        if not words or (not rows and _is_header(words)):
            continue
        if len(words) not in (3, 4) or (rows and len(words) != len(rows[0])):
            raise BadInput(
                f"{path}, line {number}",
                expected="query, row, grade (BEIR) or query, iteration, row, grade (TREC)",
                found=f"{len(words)} columns",
            )
        if not NUMBER.fullmatch(words[-1]):
            raise _bad_grade(f"{path}, line {number}", words[-1])
        places.append(number)
        rows.append(words)
    query, row, grade = (pa.array([words[column] for words in rows], pa.string()) for column in (0, -2, -1))
    return _Judged(query, row, grade.cast(pa.float64()), places, "line")


def _words(line: str) -> list[str]:
    if not line.strip():
        return []
    return (
        [word.strip(" ") for word in line.split("\t")] if "\t" in line else [word for word in line.split(" ") if word]
    )


def _is_header(words: list[str]) -> bool:
    return all(word.lower() in HEADER for word in words)


def _bad_grade(where: str, grade: str) -> BadInput:
    return BadInput(where, expected="a grade that is 0 or less, or from 1e-45 to 3.4e38", found=grade[:80])


def _grades(judged: _Judged, path: Path) -> pa.Array:
    try:
        grades = judged.grade.cast(pa.float64())
    except pa.ArrowException as error:
        raise BadInput(f"{path}, grades", expected="numbers", found=reason(error)) from error
    values = pc.fill_null(grades, np.nan).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        kept = values.astype(np.float32)
    # A gain that float32 cannot hold: none that is above 0 may become 0, and none infinite.
    bad = np.flatnonzero(~np.isfinite(kept) | ((values > 0) & (kept == 0)))
    if len(bad):
        raise _bad_grade(f"{path}, {judged.counted} {judged.places[bad[0]]}", str(grades[bad[0]].as_py()))
    return grades
