"""Judgements as editors save them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from skipfill.store.retrieval.judgements import read_judgements

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
