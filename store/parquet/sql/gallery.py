"""SQL conditions before there are queries: what the columns of the gallery alone tell about them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import duckdb
import pyarrow as pa

from skipfill.store.errors import BadInput
from skipfill.store.parquet.sql.queries import closed_database, dataset, listed, shown
from skipfill.store.parquet.stored_rows import StoredRows


def refuse_no_condition(predicates: Sequence[str]) -> None:
    """Raise `BadInput` for a predicate that does not parse as one SQL value; its columns are not looked at."""
    with closed_database() as sql:
        for one in predicates:
            try:
                if len(sql.extract_statements(f"SELECT (({one}\n) IS TRUE)")) != 1:
                    raise duckdb.ParserException("several statements")
            except duckdb.Error as error:
                raise BadInput(f"slice {one!r}", expected="an SQL condition", found=shown(error)) from error


def unknown_to_gallery(rows: StoredRows, predicates: Sequence[str]) -> dict[str, str]:
    """Predicates that need columns of the queries, each with what the gallery lacks, in words.

    Raises:
        BadInput: one names a column with `gallery.` that the gallery does not have.
    """
    lacking: dict[str, str] = {}
    with closed_database() as sql:
        sql.register("gallery", dataset(map(rows.open_file, rows.files), (rows.columns.vector,)))
        sql.register("asked", pa.table({"known": [""], "relevant": [0]}))
        for one in predicates:
            try:
                sql.sql(f"SELECT (({one}\n) IS TRUE) FROM gallery, asked")
            except duckdb.BinderException as error:
                lacking[one] = f"{shown(error)} The gallery has {listed(rows, rows.columns.vector)}."
                if '"gallery" does not have a column' in lacking[one].casefold():
                    expected = "a column of the gallery after gallery."
                    raise BadInput(f"slice {one!r}", expected=expected, found=lacking[one]) from error
            except duckdb.Error:
                continue  # a type, which the columns of the queries decide
    return lacking


def rows_that_meet(rows: StoredRows, predicates: Sequence[str]) -> dict[str, int]:
    """The number of gallery rows that meet each predicate, for the predicates that the gallery's columns decide."""
    counts: dict[str, int] = {}
    with closed_database() as sql:
        sql.register("gallery", dataset(map(rows.open_file, rows.files), (rows.columns.vector,)))
        for one in predicates:
            with suppress(duckdb.Error):
                counted = sql.sql(f"SELECT count(*) FILTER (WHERE (({one}\n) IS TRUE)) FROM gallery").fetchall()
                counts[one] = int(counted[0][0])
    return counts
