"""`-` for stdin and stdout: the rows that files would give, in blocks, and an end as soon as the reader is gone."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.shells import shell
from tests.conftest import Skipfill, World, tree, write_vectors
from tests.store.parquet.formats.writers import arrow_stream, json_lines


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that puts the bytes of a file on stdin."""

    def put(path: Path) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))

    return put


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def as_files(world: World) -> None:
    """The held-out items in other forms."""
    rows = pq.read_table(world.heldout)
    json_lines(rows, Path("heldout.jsonl"))
    arrow_stream(rows, Path("heldout.arrow"))


@pytest.mark.parametrize("form", ["jsonl", "arrow"])
def test_encode_reads_stdin_as_it_reads_a_file(skipfill: Skipfill, registered: World, stdin: Any, form: str) -> None:
    as_files(registered)
    skipfill("encode", "v1", registered.heldout, "-o", "one.parquet")
    stdin(Path(f"heldout.{form}"))
    assert (
        "Encoded 192 items with v1 (dim 8) into two.parquet" in skipfill("encode", "v1", "-", "-o", "two.parquet").out
    )
    skipfill("encode", "v1", f"heldout.{form}", "-o", "three.parquet")
    assert Path("one.parquet").read_bytes() == Path("two.parquet").read_bytes() == Path("three.parquet").read_bytes()
    stdin(Path(f"heldout.{form}"))
    done = skipfill("encode", "v1", "-", "-o", "-", "--format", "ndjson", "-q")
    assert done.err == ""
    found, expected = lines(done.out), pq.read_table("one.parquet").to_pylist()
    assert [(one["id"], one["label"]) for one in found] == [(one["id"], one["label"]) for one in expected]
    assert (
        np.float32([one["vector"] for one in found]).tobytes()
        == np.float32([one["vector"] for one in expected]).tobytes()
    )


@pytest.mark.parametrize("given", ["--items", "--vectors"])
def test_search_reads_stdin_as_it_reads_a_file(
    skipfill: Skipfill, registered: World, stdin: Any, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """In several passes over the gallery, too; and shows the same without `-o`."""
    monkeypatch.setattr("skipfill.cli.commands.search.QUERIES_AT_ONCE", 50)
    skipfill("encode", "v1", registered.heldout, "-o", "vectors.parquet", "-q")
    source = registered.heldout if given == "--items" else Path("vectors.parquet")
    json_lines(pq.read_table(source), Path("queries.jsonl"))
    expected = skipfill("search", "things", given, source, "-k", 4, "--json").document["hits"]
    assert len(expected) == 4 * 192
    for command in ([], ["-o", "-", "--format", "ndjson"], ["-o", "hits.parquet"]):
        stdin(Path("queries.jsonl"))
        words = command or ["--json"]
        found = skipfill("search", "things", given, "-", "-k", 4, *words)
        hits = found.document["hits"] if not command else lines(found.out) if "-" in command else []
        if "hits.parquet" in command:
            assert "192 queries, 4 hits each in hits.parquet" in found.out
            hits = pq.read_table("hits.parquet").to_pylist()
        assert [(hit["query"], hit["rank"], hit["id"]) for hit in hits] == [
            (hit["query"], hit["rank"], hit["id"]) for hit in expected
        ]
        np.testing.assert_array_equal(*(np.float32([hit["score"] for hit in those]) for those in (hits, expected)))
    stdin(Path("queries.jsonl"))
    shown = skipfill("search", "things", given, "-", "-k", 4)
    assert shown.out == skipfill("search", "things", given, source, "-k", 4).out
    assert "20 of 192 queries shown" in shown.err


def test_a_re_ranking_release_answers_a_pipe(
    skipfill: Skipfill, with_v2: World, stdin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skipfill.cli.commands.search.QUERIES_AT_ONCE", 100)
    skipfill("swap", "things", "v2", "--without-check", "test", "--rerank", 20)
    words = ["search", "things", "-k", 5, "--gallery-items", with_v2.gallery_items]
    expected = skipfill(*words, "--items", with_v2.heldout, "--json").document["hits"]
    json_lines(pq.read_table(with_v2.heldout), Path("queries.jsonl"))
    stdin(Path("queries.jsonl"))
    found = lines(skipfill(*words, "--items", "-", "-o", "-", "--format", "ndjson").out)
    assert [(hit["query"], hit["id"], hit["scored_by"]) for hit in found] == [
        (hit["query"], hit["id"], hit["scored_by"]) for hit in expected
    ]


def test_labels_may_be_missing_in_a_chunk(skipfill: Skipfill, registered: World, stdin: Any) -> None:
    vectors = np.random.default_rng(0).normal(size=(5_000, 16))
    labels = [None] * 4_999 + ["a"]
    write_vectors(Path("some.parquet"), vectors, labels=pa.array(labels, pa.string()))
    arrow_stream(pq.read_table("some.parquet"), Path("some.arrow"))
    stdin(Path("some.arrow"))
    skipfill("encode", "v1", "-", "-o", "out.parquet")
    assert pq.read_table("out.parquet")["label"].to_pylist() == labels


def map_to(skipfill: Skipfill, world: World) -> None:
    """A gallery of vectors by an encoder that is gone, and a map onto it from the vectors of v1."""
    table = pq.read_table("gallery.parquet")
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    write_vectors(Path("old.parquet"), np.stack(table["vector"].to_pylist()) @ turn, table["id"].to_pylist())
    skipfill("gallery", "add", "olds", "old.parquet", "--space", "ada")
    skipfill("train", "map", "--gallery", "olds", "--items", "gallery.parquet", "--method", "procrustes")


ENDLESS = """seq 1 1000000000 | sed 's/.*/{"id": &, "vector": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, &]}/'"""


def test_three_commands_in_a_pipe(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    map_to(skipfill, registered)
    as_files(registered)
    skipfill("encode", "v1", "heldout.jsonl", "-o", "new.parquet")
    skipfill("encode", "map", "new.parquet", "-o", "onto.parquet", "--onto", "ada")
    expected = skipfill("search", "olds", "--vectors", "onto.parquet", "-k", 3, "--json").document["hits"]
    before = tree(tmp_path)
    code, out, err = shell(
        "skipfill encode v1 - -q -o - <heldout.jsonl | skipfill encode map - -q --onto ada -o - | "
        "skipfill search olds --vectors - -q -k 3 -o - --format ndjson",
        tmp_path,
    )
    assert (code, err) == (0, "")
    found = lines(out)
    assert [(hit["query"], hit["id"]) for hit in found] == [(hit["query"], hit["id"]) for hit in expected]
    assert tree(tmp_path) == before


def test_three_commands_end_when_the_reader_is_gone(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    """Though the input has no end: quietly, with exit code 0, and nothing is left."""
    map_to(skipfill, registered)
    before = tree(tmp_path)
    code, out, err = shell(
        f"{ENDLESS} 2>/dev/null | skipfill encode v1 - -q -o - | skipfill encode map - -q --onto ada -o - | "
        "skipfill search olds --vectors - -q -k 1 -o - --format ndjson | head -n 1; echo ${PIPESTATUS[*]:2}; (exit 0)",
        tmp_path,
    )
    first, codes = out.splitlines()
    assert (json.loads(first)["query"], codes, err, code) == (1, "0 0 0 0", "", 0)
    assert tree(tmp_path) == before


def test_a_failure_goes_down_the_pipe(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    """The rows before it are written, and the next command knows that there are more."""
    rows = [{"id": number, "vector": [1.0] * 16} for number in range(9_999)] + [{"id": -1, "vector": [1.0] * 15}]
    json_lines(pa.Table.from_pylist(rows), tmp_path / "rows.jsonl")
    code, _, err = shell(
        "skipfill encode v1 - -q -o - <rows.jsonl | skipfill search things --vectors - -o hits.parquet -q", tmp_path
    )
    first, second = sorted(err.splitlines(), key=lambda line: "whole" in line)
    assert code == 2
    assert first.startswith("error: stdin, column vector, row 9999: expected 16 numbers")
    assert second.startswith(
        "error: stdin, after row 8191: expected a whole Arrow stream, found no end-of-stream mark."
    )
    assert not (tmp_path / "hits.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "v1", "-", "heldout.parquet", "-o", "x"], "-: expected stdin alone, or files, found stdin and 1"),
        (["encode", "v1", "-", "-o", "x", "--format", "arrow"], "--format: expected -o -, because files are Parquet"),
        (["encode", "v1", "-", "-o", "-", "--format", "csv"], "--format: expected a known format (nearest: arrow, nd"),
        (["encode", "v1", "-", "-o", "-", "--json"], "--json: expected no other output on stdout, found -o -"),
        (["encode", "v1", "-", "-o", "-", "--engine", "ray"], "--engine: expected files, which machines of a cluster"),
        (["encode", "v1", "-", "-o", "-"], "stdin: expected an Arrow IPC stream or JSON lines, found nothing. Did"),
        (["search", "things", "--items", "-", "--vectors", "-"], "search: expected either --items or --vectors"),
        (["search", "things", "--vectors", "-", "--engine", "ray"], "--engine: expected files, which machines"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(
    skipfill: Skipfill, registered: World, stdin: Any, words: list[str], message: str
) -> None:
    Path("nothing").touch()
    stdin(Path("nothing"))
    assert message in skipfill(*words, expect=2).err


def test_a_terminal_is_no_input(skipfill: Skipfill, registered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Terminal()))
    assert (
        "stdin: expected a pipe or a file, found a terminal" in skipfill("encode", "v1", "-", "-o", "-", expect=2).err
    )


def test_progress_counts_where_nobody_knows_the_total(
    skipfill: Skipfill, registered: World, stdin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skipfill.cli.terminal.progress.SECONDS_BETWEEN_LINES", 0)
    as_files(registered)
    stdin(Path("heldout.jsonl"))
    assert "encoding with v1: 192\n" in skipfill("encode", "v1", "-", "-o", "-", "--format", "ndjson").err
