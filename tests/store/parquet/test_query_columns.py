"""SQL over the queries: values of several expressions at once, each bound to one reading of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemColumns, open_items
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.parquet.sql.queries import QueryColumns
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


@pytest.mark.parametrize("expression", ["random()", "uuid()", "known || random()", "gallery.label || uuid()"])
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


def with_shop(folder: Path, name: str, column: str = "shop", label: str = "label") -> Path:
    """Four items with labels, and with shops of their own in a column."""
    path = write_vectors(
        folder / name, np.eye(4, dtype=np.float32), list("abcd"), list("1234"), ("id", "vector", label)
    )
    shops = pa.array(list("xxyy"))
    nested = pa.StructArray.from_arrays([shops], ["shop"])
    pq.write_table(pq.read_table(path).append_column(column, shops if column == "shop" else nested), path)
    return path


def over(queries: Path, rows: Path, label: str = "label", **computed: pa.Array) -> QueryColumns:
    of_rows = StoredRows.open([rows], Columns("id", "vector", "label"), 4)
    return QueryColumns(open_items([queries], ItemColumns(label=label)), of_rows, computed, label)


@pytest.mark.parametrize("expression", ["shop = 'x'", "SHOP = 'x'", "known = 'k' OR shop = 'x'", "lower(shop) = 'x'"])
def test_a_bare_name_that_both_have_is_refused(tmp_path: Path, expression: str) -> None:
    """Otherwise who brings the queries decides what a slice of the gallery's policy means."""
    queries, rows = with_shop(tmp_path, "queries.parquet"), with_shop(tmp_path, "rows.parquet")
    known = pa.array(list("kkkk"))
    columns = over(queries, rows, known=known)
    for values in (([expression], []), ([], [expression])):
        with pytest.raises(BadInput, match="Ambiguous reference") as raised:
            columns.values(*values)
        assert "query.COLUMN or gallery.COLUMN" in str(raised.value.hint)
    plain = write_vectors(tmp_path / "plain.parquet", np.eye(4, dtype=np.float32), list("abcd"), list("1234"))
    assert over(plain, rows, known=known).values([expression], []) == over(queries, plain, known=known).values(
        [expression], []
    )
    for table in ("query", "gallery"):
        assert columns.holds(f"{table}.shop = 'x'").to_pylist() == [True, True, False, False]


def test_ids_labels_and_computed_columns_are_those_of_the_queries(tmp_path: Path) -> None:
    queries, rows = with_shop(tmp_path, "queries.parquet"), with_shop(tmp_path, "rows.parquet")
    columns = over(queries, rows, shop=pa.array(list("kkkk")))
    with pytest.raises(BadInput, match="Ambiguous reference"):
        columns.holds("shop = 'k'")
    plain = write_vectors(tmp_path / "plain.parquet", np.eye(4, dtype=np.float32), list("abcd"), list("1234"))
    assert over(plain, rows, shop=pa.array(list("kkkk"))).texts("id || label || shop").to_pylist() == [
        "a1k",
        "b2k",
        "c3k",
        "d4k",
    ]


def test_a_column_that_is_not_the_label_is_no_label(tmp_path: Path) -> None:
    """Queries whose labels are in another column may have one of the gallery's name."""
    path = with_shop(tmp_path, "queries.parquet", label="class")
    table = pq.read_table(path)
    pq.write_table(table.append_column("label", pa.array(list("4321"))), path)
    rows = with_shop(tmp_path, "rows.parquet")
    with pytest.raises(BadInput, match="Ambiguous reference"):
        over(path, rows, "class").holds("label = '1'")


@pytest.mark.parametrize("name", ["gallery", "Gallery", "query", "asked"])
def test_queries_have_no_column_with_the_name_of_a_table(tmp_path: Path, name: str) -> None:
    queries, rows = with_shop(tmp_path, "queries.parquet", name), with_shop(tmp_path, "rows.parquet")
    for expression in ("gallery.shop = 'x'", "label = '1'"):
        with pytest.raises(BadInput, match="no column called query, gallery or asked"):
            over(queries, rows).holds(expression)
    assert over(queries, rows).values([], []) == ([], [])
