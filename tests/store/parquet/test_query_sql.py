"""SQL over the queries: it may have been written by someone else, as a policy is, and reaches nothing outside."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import open_items
from skipfill.store.parquet.sql.queries import QueryColumns
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from tests.conftest import tree, write_vectors


@pytest.fixture
def columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QueryColumns:
    monkeypatch.chdir(tmp_path)
    vectors = np.eye(4, dtype=np.float32)
    path = write_vectors(tmp_path / "rows.parquet", vectors, labels=["a", "b", "c", "d"])
    rows = StoredRows.open([path], Columns("id", "vector", "label"), 4)
    return QueryColumns(open_items([path]), rows, {"known": pa.array(["x"] * 4)})


def further(statement: str) -> str:
    """An expression that ends the one around it, so that a statement of its own follows."""
    return f"1) AS VARCHAR) AS value; {statement}; SELECT CAST((1"


OUTSIDE = [
    "(SELECT content FROM read_text('/etc/passwd'))",
    "(SELECT count(*) FROM glob('/etc/*'))",
    "(SELECT count(*) FROM '/etc/passwd')",
    "(SELECT count(*) FROM read_csv('https://127.0.0.1/x.csv'))",
    "(SELECT count(*) FROM parquet_scan('rows.parquet'))",
    "(SELECT count(*) FROM tables)",  # a variable of this program
    "(SELECT count(*) FROM enable_logging(storage = 'file', storage_path = 'log'))",
    "(SELECT count(*) FROM enable_profiling(format = 'json', save_location = 'profile.json'))",
    "getenv('HOME')",
    further("COPY (SELECT 1) TO 'written.csv'"),
    further("ATTACH 'written.duckdb'"),
    further("INSTALL httpfs"),
    further("LOAD httpfs"),
    further("SET memory_limit = '100GB'"),
    further("SET enable_external_access = true"),
    further("CALL enable_logging(storage = 'file', storage_path = 'log')"),
    further("PRAGMA enable_profiling"),
    further("CREATE TABLE more AS SELECT 1"),
    further("SELECT 2"),
]


@pytest.mark.parametrize("expression", OUTSIDE)
def test_an_expression_reaches_nothing_outside(columns: QueryColumns, tmp_path: Path, expression: str) -> None:
    before = tree(tmp_path)
    tables = pa.table({"secret": [1]})
    with pytest.raises(BadInput, match="expected SQL over columns of the queries"):
        columns.texts(expression)
    assert len(tables) == 1
    assert tree(tmp_path) == before


def test_what_memory_does_not_hold_is_not_written_into_the_current_folder(
    columns: QueryColumns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (folder,) = set(columns.texts("current_setting('temp_directory')").to_pylist())
    assert Path(folder).parent == temporary
    assert list(temporary.iterdir()) == []
    assert set(columns.texts("current_setting('lock_configuration')").to_pylist()) == {"true"}


def test_expressions(columns: QueryColumns) -> None:
    assert columns.texts("query.label || known").to_pylist() == ["ax", "bx", "cx", "dx"]
    assert columns.holds("gallery.label > 'b'").to_pylist() == [False, False, True, True]
    assert columns.holds("query.label > (SELECT min(label) FROM query)").to_pylist() == [False, True, True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.parametrize("length", ["3000000000", "1000000000 + length(known)"])
def test_texts_that_memory_does_not_hold_are_refused(
    columns: QueryColumns, monkeypatch: pytest.MonkeyPatch, length: str
) -> None:
    """DuckDB's own limit does not count them."""
    monkeypatch.setattr("skipfill.store.parquet.sql.queries.MOST_MEMORY", 1 << 29)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(BadInput, match=r"slice .*: expected SQL that needs at most 512 MiB of memory, found"):
        columns.holds(f"length(repeat('x', {length})) > 5")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert columns.holds("length(repeat('x', 1000000)) > 5").to_pylist() == [True] * 4
