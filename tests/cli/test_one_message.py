"""Every failure is one message, whatever is fed to whichever command: exit 2 with the place, and never a traceback."""

from __future__ import annotations

import datetime
import decimal
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Skipfill, World, tree, write_vectors

ROWS = 20
GOOD = np.random.default_rng(0).normal(size=(ROWS, 16)).astype(np.float32)
NARROW = GOOD[:, :8]
IDS = [f"x{i:02d}" for i in range(ROWS)]
LABELS = ["class-01", "class-02"] * (ROWS // 2)


def strings(values: list[bytes]) -> pa.Array:
    """A column of strings that may be no UTF-8."""
    column = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), column.buffers())


INVALID = strings([b"ok", b"\xff\xfe"] + [b"y%d" % i for i in range(ROWS - 2)])


def vectors_of(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def columns(values: np.ndarray = GOOD, **more: object) -> dict[str, object]:
    return {"id": pa.array(IDS), "vector": vectors_of(values), "label": pa.array(LABELS), **more}


def table(**more: object) -> pa.Table:
    return pa.table(columns(**more))  # type: ignore[arg-type]


def narrow(**more: object) -> pa.Table:
    return pa.table(columns(NARROW, **more))  # type: ignore[arg-type]


def twice(of: pa.Table, name: str) -> pa.Table:
    return of.append_column(name, of.column(name))


def parquet(of: pa.Table) -> Callable[[Path], object]:
    return lambda path: pq.write_table(of, path)


def metadata(of: pa.Table, value: bytes) -> pa.Table:
    return of.replace_schema_metadata({b"skipfill": value})


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def cut(of: pa.Table) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        pq.write_table(of, path)
        path.write_bytes(path.read_bytes()[:200])

    return make


def cut_in_the_middle(of: pa.Table) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        pq.write_table(of, path)
        whole = path.read_bytes()
        path.write_bytes(whole[:40] + whole[60:])

    return make


def empty_name(path: Path) -> None:
    pq.write_table(pa.table({"": pa.array(IDS), "vector": vectors_of(GOOD)}), path)


DEEP = "[" * 100_000
FILES: dict[str, Callable[[Path], object]] = {
    "nothing": data(b""),
    "a CSV": text("id,vector\na,1\n"),
    "a folder": lambda path: path.mkdir(),
    "a folder without Parquet": lambda path: (path.mkdir(), (path / "a.txt").write_text("x")),
    "a pipe": os.mkfifo,
    "a broken link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "cut off": cut(table()),
    "cut in the middle": cut_in_the_middle(table()),
    "no rows": parquet(table().slice(0, 0)),
    "two id columns": parquet(twice(table(), "id")),
    "two vector columns": parquet(twice(table(), "vector")),
    "two label columns": parquet(twice(table(), "label")),
    "ids that are no UTF-8": parquet(table(id=INVALID)),
    "labels that are no UTF-8": parquet(table(label=INVALID)),
    "dictionary ids that are no UTF-8": parquet(table(id=INVALID.dictionary_encode())),
    "a dictionary of labels that are no UTF-8": parquet(table(label=INVALID.dictionary_encode())),
    "decimal ids": parquet(table(id=pa.array([decimal.Decimal(i) for i in range(ROWS)]))),
    "nested ids": parquet(table(id=pa.array([[i] for i in range(ROWS)]))),
    "ids of booleans": parquet(table(id=pa.array([True, False] * 10))),
    "ids of dates": parquet(table(id=pa.array([datetime.date(2026, 1, 1 + i) for i in range(ROWS)]))),
    "ids that are too large": parquet(table(id=pa.array([2**63 + i for i in range(ROWS)], pa.uint64()))),
    "binary ids": parquet(table(id=pa.array([b"%d" % i for i in range(ROWS)]))),
    "no ids at all": parquet(table(id=pa.nulls(ROWS))),
    "labels of times": parquet(table(label=pa.array([datetime.datetime(2026, 1, 1 + i % 2) for i in range(ROWS)]))),
    "nested labels": parquet(table(label=pa.array([{"a": i} for i in range(ROWS)]))),
    "lists of labels": parquet(table(label=pa.array([["a"] for i in range(ROWS)]))),
    "binary labels": parquet(table(label=pa.array([b"\xff"] * ROWS))),
    "a map of labels": parquet(table(label=pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())))),
    "vectors of integers": parquet(table(vector=pa.array([[1, 2]] * ROWS))),
    "nested vectors": parquet(table(vector=pa.array([[[1.0]]] * ROWS))),
    "vectors of texts": parquet(table(vector=pa.array([["a"]] * ROWS))),
    "vectors of decimals": parquet(table(vector=pa.array([[decimal.Decimal("1.5")]] * ROWS))),
    "vectors that are no texts": parquet(table(vector=INVALID)),
    "lists of no coordinate": parquet(table(vector=pa.array([[]] * ROWS, pa.list_(pa.float32())))),
    "huge numbers": parquet(table(vector=pa.array([[1e300] * 16] * ROWS))),
    "deep metadata": parquet(metadata(table(), DEEP.encode())),
    "metadata of another kind": parquet(metadata(table(), b"[1, 2]")),
    "metadata that is no JSON": parquet(metadata(table(), b"\xff{")),
    "columns of other names": parquet(pa.table({"\n::stop-commands::x\x1b[31m": pa.array(IDS)})),
    "a nameless column": empty_name,
}
"""Files to be given where Parquet is expected."""


ACCEPTED = {
    # Read as something, which a user may have meant.
    "labels of times": ("gallery add", "encode"),
    "deep metadata": ("encode", "check"),
    "metadata of another kind": ("gallery add", "encode", "check"),
    "metadata that is no JSON": ("gallery add", "encode", "check"),
}
SAID = {
    "two id columns": "expected columns with different names, found 2 columns 'id'",
    "ids that are no UTF-8": "column id, row 1: expected UTF-8",
    "labels that are no UTF-8": r"column label, row 1: expected UTF-8, found b'\xff\xfe'",
    "a pipe": "found a pipe or a device",
    "deep metadata": "metadata skipfill: expected a JSON object, found thousands of nested values",
    "columns of other names": r"found columns \n::stop-commands::x\x1b[31m. Name",
}


def is_one_message(err: str) -> bool:
    return err.count("\n") == 1 and err.startswith("error: ") and err[:-1].isprintable()


@pytest.mark.parametrize("case", FILES)
def test_a_strange_file_is_refused_by_name(skipfill: Skipfill, with_v2: World, tmp_path: Path, case: str) -> None:
    file = tmp_path / "strange.parquet"
    FILES[case](file)
    before = None if file.is_fifo() else tree(tmp_path)
    for use, arguments in {
        "gallery add": ["gallery", "add", "other", file, "--space", "s", "--dry-run"],
        "encode": ["encode", "v2", file, "-o", tmp_path / "out.parquet"],
        "check": ["check", "things", "v2", "--items", file, "--no-save"],
    }.items():
        if use in ACCEPTED.get(case, ()):
            skipfill(*arguments, expect=3 if use == "check" else 0)
            (tmp_path / "out.parquet").unlink(missing_ok=True)
            continue
        done = skipfill(*arguments, expect=2)
        assert is_one_message(done.err), done.err
        assert "strange.parquet" in done.err
        assert done.out == ""
        if use == "gallery add":
            assert SAID.get(case, "") in done.err
    assert before is None or tree(tmp_path) == before


JUDGED = {
    "a grade that vanishes": ("i0030 i0031 1\ni0031 i0032 1e-46\n", "line 2: expected a grade"),
    "a grade beyond float32": ("i0030 i0031 1e39\n", "line 1: expected a grade"),
    "a grade that is no number": ("i0030 i0031 1\ni0031 i0032 NaN\n", "line 2: expected a grade"),
    "a grade of words": ("i0030 i0031 1\ni0031 i0032 much\n", "line 2: expected a grade"),
    "a first line without a number": ("i0030 i0031 high\ni0031 i0032 1\n", "line 1: expected a grade"),
    "one line without a number": ("i0030 i0031 x\n", "line 1: expected a grade"),
    "rows that the gallery has not": ("HELDOUT nope 1\n", "of gallery things, found none (first: row 'nope')"),
    "too few columns": ("a b 1\nc d\n", "expected query, row, grade"),
    "no line": ("", "no judgements"),
}


@pytest.mark.parametrize("case", JUDGED)
def test_strange_judgements(skipfill: Skipfill, with_v2: World, tmp_path: Path, case: str) -> None:
    content, said = JUDGED[case]
    heldout = str(pq.read_table(with_v2.heldout).column("id")[0])
    (tmp_path / "judged.tsv").write_text(content.replace("HELDOUT", heldout))
    done = skipfill("check", "things", "v2", "--items", with_v2.heldout, "--judgements", "judged.tsv", expect=2)
    assert is_one_message(done.err), done.err
    assert "judged.tsv" in done.err
    assert said in done.err


PLACES = {
    "judgements": ["check", "things", "v2", "--items", "heldout.parquet", "--judgements", "odd"],
    "a plan": ["swap", "things", "--plan", "odd"],
    "a bundle": ["model", "add", "odd"],
}
ODD: dict[str, Callable[[Path], object]] = {
    "nothing": data(b""),
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "no text": data(b"\xff\xfe\x00"),
    "deep JSON": text(DEEP),
    "JSON with NaN": text('{"format": NaN}'),
    "JSON of another kind": text("[1, 2]"),
    "a lone surrogate": text('{"id": "\\ud800"}'),
    "control characters": text('{"\x1b[31m\\n::stop-commands::x": 1}'),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", PLACES)
def test_a_strange_file_where_another_is_expected(
    skipfill: Skipfill, with_v2: World, tmp_path: Path, place: str, odd: str
) -> None:
    ODD[odd](tmp_path / "odd")
    done = skipfill(*PLACES[place], expect=2)
    assert is_one_message(done.err), done.err
    assert "odd" in done.err


def test_an_inner_product_that_float32_cannot_hold_names_the_row(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    write_vectors(tmp_path / "g.parquet", GOOD * 1e25, IDS)
    skipfill("gallery", "add", "large", "g.parquet", "--space", "s", "--metric", "ip")
    done = skipfill("search", "large", "--vectors", "g.parquet", expect=2)
    assert is_one_message(done.err), done.err
    assert "inner product with the gallery's row 'x00'" in done.err


def test_texts_to_encode_that_are_no_utf8(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    from skipfill.store.errors import BadInput
    from skipfill.store.parquet.items import ItemColumns, open_items

    pq.write_table(pa.table({"id": pa.array(IDS), "text": INVALID}), tmp_path / "texts.parquet")
    with pytest.raises(BadInput, match=r"column text, row 1: expected UTF-8"):
        next(open_items([tmp_path / "texts.parquet"], ItemColumns()).blocks())


@pytest.mark.parametrize("debug", [False, True])
def test_the_unforeseen_is_said_with_how_to_report_it(
    skipfill: Skipfill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, debug: bool
) -> None:
    """Exit 70; the traceback in a file or, with SKIPFILL_DEBUG, on stderr; no secret in any of them."""

    def unforeseen(*_: object) -> None:
        raise KeyError("https://key:hunter2@host/\x1b[31m; AWS says wJalrXUtnFEMI")

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr("skipfill.store.storage.location.find_root", unforeseen)
    (tmp_path / "temporary").mkdir()
    if debug:
        monkeypatch.setenv("SKIPFILL_DEBUG", "1")
    done = skipfill("status", expect=70)
    files = [*(tmp_path / "temporary").iterdir()]
    told = done.err + "".join(file.read_text() for file in files)
    assert "Traceback (most recent call last)" in told
    assert len(files) == (not debug)
    assert all(str(file) in done.err and file.stat().st_mode & 0o77 == 0 for file in files)
    assert "error: unforeseen KeyError: " in done.err.splitlines()[-1]
    assert "Please report it" in done.err
    assert all(line.isprintable() for line in told.split("\n"))
    assert "hunter2" not in told
    assert "wJalrXUtnFEMI" not in told
    assert done.out == ""
    assert skipfill("status", "--json", expect=70).document["exit_code"] == 70


@pytest.mark.parametrize("key", ["store.json", "models/v2/card.json", "galleries/things/versions/0000000001.json"])
def test_a_pipe_in_the_store_makes_nobody_wait(skipfill: Skipfill, with_v2: World, tmp_path: Path, key: str) -> None:
    file = tmp_path / ".skipfill" / key
    file.unlink()
    os.mkfifo(file)
    for command in (["status", "things"], ["plan", "things", "v2"], ["doctor"]):
        done = skipfill(*command, expect=None)
        assert done.code in (0, 1, 2), done.err
