"""Judgements as editors save them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.retrieval.judgements import read_judgements
from skipfill.store.retrieval.relevance import Judgements

TEXTS = {
    "TREC": "q1 0 a 1\nq2 0 b 2\n",
    "BEIR": "q1\ta\t1\nq2\tb\t2\n",
    "BEIR with a header": "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t2\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_mark_of_the_encoding_is_no_part_of_the_first_id(text: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "qrels.txt"
    path.write_text(text, encoding=encoding)
    judged = read_judgements(path, pa.array(["q1", "q2"]), pa.string())
    assert judged.row.to_pylist() == ["a", "b"]
    assert judged.grade.tolist() == [1, 2]


def judged(tmp_path: Path, content: bytes, queries: list[str]) -> Judgements:
    path = tmp_path / "qrels.txt"
    path.write_bytes(content)
    return read_judgements(path, pa.array(queries), pa.string())


@pytest.mark.parametrize(
    "header",
    [
        b"query-id\tcorpus-id\tscore",
        b"query_id doc_id relevance",
        b"TOPIC ITERATION DOCUMENT# RELEVANCY",
        b"\n\nqid row rel",
    ],
)
def test_a_line_of_names_alone_is_a_header(tmp_path: Path, header: bytes) -> None:
    line = b"q1\t0\ta\t2" if len(header.split()) == 4 else b"q1\ta\t2"
    assert judged(tmp_path, header + b"\n" + line + b"\n", ["q1"]).row.to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"q1 0 a high\nq2 0 b 1\n", 1),
        (b"q1\ta\tx\n", 1),
        (b"query-id\tcorpus-id\tscore\nq1\ta\tx\n", 2),
        (b"\n\nq1 a 1\r\n\r\nq2 a x\r\n", 5),
        (b"q1 a 1\nquery-id corpus-id score\n", 2),
        (b"q1 a 1_0\n", 1),
        ("q1 a ٣\n".encode(), 1),
        (b"q1 a\x0b 1\nq2 b\x0c 1e-46\n", 2),
        (b"q1 a 1\nq2 b\n", 2),
    ],
)
def test_any_other_line_without_a_grade_is_an_error_with_its_number(tmp_path: Path, content: bytes, line: int) -> None:
    with pytest.raises(BadInput, match=rf"qrels.txt, line {line}: expected"):
        judged(tmp_path, content, ["q1", "q2"])


@pytest.mark.parametrize("character", ["\x0b", "\x1c", "\x85", "\u2028", "\u00a0"])
@pytest.mark.parametrize("between", [" ", "\t"])
def test_lines_end_and_words_divide_where_an_editor_shows_it(tmp_path: Path, character: str, between: str) -> None:
    rows = [f"a{character}b", f"c{character}"]
    content = "".join(f"q1{between}{row}{between}1\r\n" for row in rows).encode()
    assert judged(tmp_path, content, ["q1"]).row.to_pylist() == rows


def test_a_grade_in_parquet_is_named_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "qrels.parquet"
    pq.write_table(pa.table({"query_id": ["q1", "q1"], "row_id": ["a", "b"], "grade": [1.0, 1e-46]}), path)
    with pytest.raises(BadInput, match=r"qrels.parquet, row 1: expected a grade"):
        read_judgements(path, pa.array(["q1"]), pa.string())
