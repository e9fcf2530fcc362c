"""SQL over the queries: values of several expressions at once, each bound to one reading of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import open_items
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.parquet.query_sql import QueryColumns
from skipfill.store.parquet.stored_rows import Columns, OpenFile, StoredRows
from tests.conftest import write_vectors


def columns_of(folder: Path, open_file: OpenFile = PinnedFile) -> QueryColumns:
    """Four queries, two of which are rows of a gallery of two files."""
    vectors = np.eye(4, dtype=np.float32)
    queries = write_vectors(folder / "queries.parquet", vectors, ["a", "b", "c", "d"], ["1", "2", "3", "4"])
    parts = [write_vectors(folder / f"{one}.parquet", vectors[:1], [one], [f"row {one}"]) for one in ("b", "c")]
    rows = StoredRows.open(parts, Columns("id", "vector", "label"), 4, open_file)
    return QueryColumns(open_items([queries]), rows, {"known": pa.array(list("xyxy"))})


def test_values_come_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    columns = columns_of(tmp_path)
    predicates = ["gallery.label = 'row c'", "known = 'x'", "label = '4' -- the last", "known = 'x'"]
    expressions = ["label", "gallery.label || known", "known = 'x'"]
    holds, texts = columns.values(predicates, expressions)
    assert [one.to_pylist() for one in holds] == [
        [False, False, True, False],
        [True, False, True, False],
        [False, False, False, True],
        [True, False, True, False],
    ]
    assert [one.to_pylist() for one in texts] == [
        ["1", "2", "3", "4"],
        [None, "row by", "row cx", None],
        ["true", "false", "true", "false"],
    ]
    assert columns.values([], []) == ([], [])


def test_the_gallery_is_opened_once_for_all_expressions(tmp_path: Path) -> None:
    opened: list[object] = []

    def open_file(path: object) -> PinnedFile:
        opened.append(path)
        assert isinstance(path, Path)
        return PinnedFile(path)

    columns = columns_of(tmp_path, open_file)
    opened.clear()
    columns.values([f"gallery.label = 'row {one}'" for one in range(20)], ["gallery.id", "label"])
    assert sorted(map(str, opened)) == [str(tmp_path / "b.parquet"), str(tmp_path / "c.parquet")]


@pytest.mark.parametrize("expression", ["random() < .5", "uuid()", "known || random()", "gallery.label || uuid()"])
def test_what_is_drawn_at_random_is_refused(tmp_path: Path, expression: str) -> None:
    with pytest.raises(BadInput, match="expected the same value for a query each time"):
        columns_of(tmp_path).values([], ["label", expression])


@pytest.mark.parametrize(
    ("expression", "found"),
    [("nothing", "nothing"), ("CAST(label || 'x' AS INT)", "Could not convert"), ("COLUMNS(*)", "several values")],
)
def test_the_one_that_is_wrong_is_named(tmp_path: Path, expression: str, found: str) -> None:
    with pytest.raises(BadInput, match=found) as raised:
        columns_of(tmp_path).values(["known = 'x'", "gallery.label = 'x'"], ["label", expression])
    assert str(raised.value).startswith(f"slice {expression!r}")
