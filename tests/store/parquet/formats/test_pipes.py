"""Rows from stdin, chunk by chunk, and rows for stdout: nothing is lost on the way, and no end is taken for another."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.formats.output import RowForm, RowOutput
from skipfill.store.parquet.formats.standard_input import MOST_BYTES, RowStream
from skipfill.store.parquet.items import ItemColumns


def rows(count: int, start: int = 0) -> pa.Table:
    numbers = np.arange(start, start + count)
    vectors = np.stack([numbers / 3, np.full(count, 1e-8), -numbers], axis=1).astype(np.float32)
    return pa.table(
        {
            "id": [f"i{number}" for number in numbers],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 3),
            "label": pa.array([f'"{number}\u2028' if number % 3 else None for number in numbers], pa.string()),
        }
    )


def written(form: RowForm, tables: list[pa.Table]) -> bytes:
    file = io.BytesIO()
    with RowOutput(file, form) as output:
        for table in tables:
            output.write(table)
    assert output.rows == sum(map(len, tables))
    return file.getvalue()


def read(data: bytes | BinaryIO, most: int = 1_000) -> list[pa.Table]:
    stream = RowStream.of(io.BytesIO(data) if isinstance(data, bytes) else data)
    chunks = list(stream.chunks(most))
    assert [chunk.start for chunk in chunks] == np.cumsum([0, *map(len, (one.table for one in chunks))])[:-1].tolist()
    return [chunk.table for chunk in chunks]


@pytest.mark.parametrize("form", ["arrow", "ndjson"])
@pytest.mark.parametrize("sizes", [[1], [2_500], [700, 700, 1, 1, 1, 2_100], [1] * 1_001])
def test_what_is_written_is_read(form: RowForm, sizes: list[int]) -> None:
    tables = [rows(size, start) for size, start in zip(sizes, np.cumsum([0, *sizes]), strict=False)]
    found = read(written(form, tables))
    assert all(len(table) <= 1_000 for table in found)
    assert len(found) <= sum(sizes) // 500 + 1
    expected, joined = pa.concat_tables(tables), pa.concat_tables(found, promote_options="permissive")
    assert joined.drop_columns("vector").equals(expected.drop_columns("vector")), joined.schema
    # Also as JSON, a float32 comes back to the last bit.
    assert np.array_equal(joined["vector"].combine_chunks().flatten(), expected["vector"].combine_chunks().flatten())


def test_json_lines_are_json() -> None:
    lines = written("ndjson", [rows(3)]).decode().splitlines()
    found = [json.loads(line) for line in lines]
    assert [one["id"] for one in found] == ["i0", "i1", "i2"]
    assert [one["label"] for one in found] == [None, '"1\u2028', '"2\u2028']
    np.testing.assert_array_equal(np.float32([one["vector"] for one in found])[:, 0], np.float32([0, 1 / 3, 2 / 3]))
    assert len(lines[1]) < 80


def test_parquet_is_whole(tmp_path: object) -> None:
    assert pq.read_table(io.BytesIO(written("parquet", [rows(10), rows(5, 10)]))).equals(rows(15))


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._data.read(min(7, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("form", ["arrow", "ndjson"])
def test_a_pipe_may_give_few_bytes_at_a_time(form: RowForm) -> None:
    assert pa.concat_tables(read(io.BufferedReader(Trickle(written(form, [rows(50)]))))).num_rows == 50


def test_chunks_are_read_one_at_a_time() -> None:
    """The stream is not read ahead by more than a chunk and a block."""
    data = io.BytesIO(written("arrow", [rows(1_000, start) for start in range(0, 100_000, 1_000)]))
    chunks = RowStream.of(data).chunks(1_000)
    for number in range(10):
        next(chunks)
        assert data.tell() < (number + 3) * len(data.getvalue()) / 100


def test_large_rows_make_small_chunks() -> None:
    large = [pa.table({"id": [number], "text": ["x" * (MOST_BYTES // 3)]}) for number in range(7)]
    assert [len(table) for table in read(written("arrow", large))] == [2, 2, 2, 1]


@pytest.mark.parametrize("lost", [8, 9, 200])
def test_an_arrow_stream_that_was_cut_off_is_an_error(lost: int) -> None:
    """Also between two batches, where Arrow itself sees nothing: a killed writer must not look like a finished one."""
    data = written("arrow", [rows(100), rows(100, 100)])
    with pytest.raises(BadInput, match=r"stdin, after row (99|199): expected a whole Arrow stream") as error:
        read(data[:-lost])
    assert error.value.hint == "Did the command that writes to this pipe fail?"


def test_a_writer_that_fails_leaves_no_mark_of_an_end() -> None:
    file = io.BytesIO()

    def write() -> None:
        with RowOutput(file, "arrow") as output:
            output.write(rows(3))
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write()
    with pytest.raises(BadInput, match="no end-of-stream mark"):
        read(file.getvalue())


class Gone(Exception):
    """Not an OSError, as the reader of a pipe that has gone."""


class Full(OSError):
    """As a disk that is full."""


@pytest.mark.parametrize("form", ["arrow", "ndjson"])
@pytest.mark.parametrize("error", [Gone, Full])
def test_the_error_of_a_pipe_is_raised_as_it_is(form: RowForm, error: type[Exception]) -> None:
    """Arrow, which calls the pipe, makes no other one of it."""

    class Pipe(io.BytesIO):
        def write(self, data: object) -> int:  # type: ignore[override]
            raise error(5, "a reason")

    def write() -> None:
        with RowOutput(Pipe(), form) as output:
            output.write(rows(3))

    with pytest.raises(error) as raised:
        write()
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin: expected an Arrow IPC stream or JSON lines, found nothing"),
        (b"PAR1....", r"stdin: expected an Arrow IPC stream or JSON lines, found other bytes \(b'PAR1....'\)"),
        (b'[{"id": 1}]', "stdin: expected JSON lines, an object a row, found one JSON array"),
        (b'{"id": 1}\n{"id": "a"}\n', "stdin, row 1: expected a JSON object, with the types of the rows before"),
        (b'{"id": 1\n', "stdin, row 0: expected a JSON object"),
        (b"\xff\xff\xff\xff garbage", "stdin: expected a whole Arrow stream"),
    ],
)
def test_other_input_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(data)


def test_a_stream_without_rows_is_refused() -> None:
    file = io.BytesIO()
    pyarrow.ipc.new_stream(file, rows(1).schema).close()
    with pytest.raises(BadInput, match="stdin: expected at least one row, found none"):
        read(file.getvalue())


def numbered(bad: int) -> Iterator[str]:
    for number in range(5_000):
        yield json.dumps({"id": f"i{number}", "text": None if number == bad else "a text"})


def test_a_bad_item_is_named_by_its_row_in_the_stream() -> None:
    data = "\n".join(numbered(bad=4_321)).encode()
    parts = RowStream.of(io.BytesIO(data)).items(ItemColumns(), 1_000)
    with pytest.raises(BadInput, match="stdin, column text, row 4321: expected a text, found NULL"):
        list(chain.from_iterable(items.blocks() for items in parts))
