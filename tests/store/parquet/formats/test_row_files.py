"""Files of JSON lines and of Arrow are items as Parquet is: the same rows, the same refusals, the row by its number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput, Stale
from skipfill.store.parquet.formats.json_lines import BLOCK_BYTES
from skipfill.store.parquet.formats.recognise import open_rows
from skipfill.store.parquet.items import ItemColumns, Items, open_items
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.parquet.sql.queries import QueryColumns
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.retrieval.query_digests import query_digests
from tests.store.parquet.formats.writers import WRITERS, arrow_stream, json_lines

ROWS = 5_000


def table(kind: str = "vector") -> pa.Table:
    random = np.random.default_rng(0)
    inputs: pa.Array = pa.array([f"text {number} \u00fc\n" for number in range(ROWS)])
    if kind == "vector":
        flat = pa.array(random.normal(size=4 * ROWS).astype(np.float32))
        inputs = pa.ListArray.from_arrays(np.arange(0, 4 * ROWS + 1, 4, dtype=np.int32), flat)
    labels = [f"l{number % 7}" if number % 11 else None for number in range(ROWS)]
    langs = ["en" if number % 3 else "de" for number in range(ROWS)]
    return pa.table({"id": [f"i{number}" for number in range(ROWS)], kind: inputs, "label": labels, "lang": langs})


def contents(items: Items) -> tuple[Any, ...]:
    blocks = list(items.blocks())
    inputs = [np.asarray(value).tolist() for block in blocks for value in block.inputs]
    rows = np.concatenate([block.rows for block in blocks]).tolist()
    labels = None if items.labels is None else items.labels.to_pylist()
    return items.kind, items.ids.to_pylist(), labels, inputs, rows, query_digests(items, [""] * len(items))


@pytest.mark.parametrize("kind", ["vector", "text"])
@pytest.mark.parametrize("form", WRITERS)
def test_the_same_items_as_in_parquet(tmp_path: Path, form: str, kind: str) -> None:
    rows = table(kind)
    pq.write_table(rows, tmp_path / "items.parquet")
    WRITERS[form](rows, tmp_path / "items")
    expected, found = (open_items([tmp_path / name]) for name in ("items.parquet", "items"))
    assert contents(found) == contents(expected)
    some = np.arange(ROWS) % 17 == 3
    assert contents(found.restricted(some)) == contents(expected.restricted(some))


@pytest.mark.parametrize("form", WRITERS)
def test_slices_see_all_columns(tmp_path: Path, form: str) -> None:
    rows = table()
    WRITERS[form](rows, tmp_path / "items")
    pq.write_table(rows, tmp_path / "gallery.parquet")
    gallery = StoredRows.open([tmp_path / "gallery.parquet"], Columns(label="label"), 4)
    columns = QueryColumns(open_items([tmp_path / "items"]), gallery, {})
    assert columns.holds("query.lang = 'de'").to_pylist() == [lang == "de" for lang in rows["lang"].to_pylist()]


def test_fields_that_come_late_and_types_that_grow(tmp_path: Path) -> None:
    """The types are those of all rows: a field may be missing or null in the first mebibyte, a number be whole."""
    early = [{"id": str(number), "vector": [1, 2], "note": None} for number in range(BLOCK_BYTES // 30)]
    late = [{"id": "2019-01-01", "vector": [0.5, 1e-3], "note": "x", "label": "a", "more": {"of": "this"}}]
    json_lines(pa.Table.from_pylist(early), tmp_path / "items.jsonl")
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write(f"\n   \n{json.dumps(late[0])}")
    items = open_items([tmp_path / "items.jsonl"])
    assert (len(items), items.ids[-1].as_py()) == (len(early) + 1, "2019-01-01")
    assert items.labels is not None
    assert items.labels.to_pylist() == [None] * len(early) + ["a"]
    assert list(items.blocks())[-1].inputs[-1].tolist() == [0.5, np.float32(1e-3)]
    assert open_rows(tmp_path / "items.jsonl").schema_arrow.names == ["id", "vector", "note", "label"]


WRONG = {
    '{"id": "b", "vector": [1, "x"]}': "row 3000: expected a JSON object, with the types of the rows before, found",
    '{"id": 7, "vector": [1, 2]}': "row 3000: expected a JSON object, with the types of the rows before, found",
    '{"id": "b", "vector": [1, 2}': "row 3000: expected a JSON object",
    "[1, 2]": "row 3000: expected a JSON object",
    '{"id": "b", "vector": [1, NaN]}': "column vector, row 3000: expected finite numbers, found nan",
    '{"id": "b", "vector": [1, 2, 3]}': "column vector, row 3000: expected 2 numbers",
    '{"id": "b", "vector": null}': "column vector, row 3000: expected a vector, found NULL",
    '{"id": null, "vector": [1, 2]}': "column id: expected an id in every row, found 1 NULL",
    '{"id": "0", "vector": [1, 2]}': "column id: expected unique ids, found 0 2 times",
    "": "",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    """Also where it lies in a later block than the first."""
    before = [f'{{"id": "{number}", "vector": [1.0, 2.0], "note": "{"x" * 400}"}}' for number in range(3_000)]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join([*before, line, '{"id": "z", "vector": [1, 2]}']))
    if not line:
        assert len(list(open_items([path]).blocks())) >= 2
        return
    with pytest.raises(BadInput) as error:
        list(open_items([path]).blocks())
    assert str(error.value).startswith(f"{path}")
    assert WRONG[line] in str(error.value)


@pytest.mark.parametrize("form", ["Arrow stream", "Arrow file"])
def test_hostile_arrow_is_refused(tmp_path: Path, form: str) -> None:
    """Each byte changed in turn: one message, or the rows."""
    rows = pa.table({"id": ["a", "b"], "text": ["one", "two"]})
    WRITERS[form](rows, tmp_path / "rows")
    whole = (tmp_path / "rows").read_bytes()
    refused = 0
    for at in range(8, len(whole)):
        for value in (0xFF, 0x7F):
            (tmp_path / "changed").write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            try:
                list(open_items([tmp_path / "changed"]).blocks())
            except BadInput:
                refused += 1
    assert refused > len(whole) // 2
    for cut in range(1, len(whole) - 8, 7):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(BadInput):
            list(open_items([tmp_path / "cut"]).blocks())


def test_an_arrow_stream_that_ends_between_two_batches_is_refused(tmp_path: Path) -> None:
    """As `encode -o - > rows.arrow` leaves it when it is killed: fewer rows, which Arrow takes for all of them."""
    arrow_stream(table(), tmp_path / "rows")
    (tmp_path / "cut").write_bytes((tmp_path / "rows").read_bytes()[:-8])
    with pytest.raises(BadInput, match="cut: expected a readable Arrow stream, found no end-of-stream mark") as error:
        open_items([tmp_path / "cut"])
    assert error.value.hint == "It may be truncated or still being written: copy it again from its source."


def test_views_of_strings_as_newer_libraries_write_them(tmp_path: Path) -> None:
    views = {
        name: pa.array(values, pa.string_view()) for name, values in {"id": ["a", "b"], "text": ["1", "2"]}.items()
    }
    labels = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.uint32()), views["text"])
    arrow_stream(pa.table({**views, "label": labels}), tmp_path / "rows")
    items = open_items([tmp_path / "rows"])
    assert items.labels is not None
    assert [items.ids.to_pylist(), items.labels.to_pylist()] == [["a", "b"], ["2", "1"]]
    assert next(items.blocks()).inputs == ["1", "2"]


@pytest.mark.parametrize("form", WRITERS)
def test_a_file_that_changes_is_stale(tmp_path: Path, form: str) -> None:
    path, pins = tmp_path / "items", PinnedFiles(open_rows)
    WRITERS[form](table(), path)
    items = open_items([path], ItemColumns(), pins)
    pins.confirm()
    WRITERS[form](table().slice(1), tmp_path / "other")
    (tmp_path / "other").replace(path)
    with pytest.raises(Stale):
        pins.confirm()
    with pytest.raises((Stale, BadInput)):
        list(items.blocks())


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "array.json").write_text('[{"id": 1}]')
    with pytest.raises(BadInput, match=r"expected JSON lines, an object a row, found one JSON array"):
        open_items([tmp_path / "array.json"])
    (tmp_path / "text").write_text("id,text\n")
    with pytest.raises(BadInput, match="expected a readable Parquet file"):
        open_items([tmp_path / "text"])
    (tmp_path / "bytes.jsonl").write_bytes(b'{"id": "a", "text": "b"}\n{"id": "c", "text": "\xff"}\n')
    with pytest.raises(BadInput, match=r"bytes\.jsonl, row 1: expected a JSON object, found Invalid UTF8"):
        open_items([tmp_path / "bytes.jsonl"])
    (tmp_path / "name.jsonl").write_bytes(b'{"id": "a", "\xff": "b"}\n')
    with pytest.raises(BadInput, match=r"name\.jsonl, row 0: expected a JSON object"):
        open_items([tmp_path / "name.jsonl"])
    (tmp_path / "deep.jsonl").write_text('{"id": "a", "text": "b", "more": ' + "[" * 1_000_000)
    with pytest.raises(BadInput, match=r"deep\.jsonl, row 0: expected a JSON object"):
        open_items([tmp_path / "deep.jsonl"])
    (tmp_path / "wide.jsonl").write_text(json.dumps({str(number): 1 for number in range(10_001)}))
    with pytest.raises(BadInput, match="expected objects of at most 10,000 fields, found 10,001"):
        open_items([tmp_path / "wide.jsonl"])
    (tmp_path / "long.jsonl").write_bytes(b'{"id": "' + b"x" * (66 << 20))
    with pytest.raises(BadInput, match="expected lines of at most 64 MiB"):
        open_items([tmp_path / "long.jsonl"])
