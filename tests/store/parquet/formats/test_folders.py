"""Folders of data sets: those of Hugging Face's `datasets`, and those of BEIR and MTEB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.formats.folders import corpus_of, item_files, judgements_of
from skipfill.store.parquet.items import open_items
from skipfill.store.retrieval.judgements import judged_queries, read_judgements
from tests.store.parquet.formats.writers import arrow_stream


def data_set(folder: Path, **state: Any) -> Path:
    """Ten images in two files, as `save_to_disk` writes them."""
    folder.mkdir(parents=True)
    images = pa.array([{"bytes": bytes([number]), "path": None} for number in range(10)])
    rows = pa.table({"id": range(10), "image": images, "label": [number % 2 for number in range(10)]})
    # More than nine shards: the order of their names is not that of the rows in every release.
    names = ["data-00001-of-00002.arrow", "data-00000-of-00002.arrow"]
    for number, name in enumerate(names):
        arrow_stream(rows.slice(5 * number, 5), folder / name)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in names], "_split": None, **state})
    )
    return folder


def test_a_data_set_is_read_in_the_order_of_its_state(tmp_path: Path) -> None:
    items = open_items([data_set(tmp_path / "set")])
    assert items.ids.to_pylist() == list(range(10))
    assert [one for block in items.blocks() for one in block.inputs] == [bytes([number]) for number in range(10)]
    assert items.labels is not None
    assert items.labels.to_pylist() == ["0", "1"] * 5


def test_folders_that_are_no_data_set_are_refused(tmp_path: Path) -> None:
    data_set(tmp_path / "both" / "train")
    data_set(tmp_path / "both" / "test")
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(BadInput, match="expected one data set, found a folder of 2: test, train") as error:
        item_files([tmp_path / "both"])
    assert error.value.hint == f"Name one of them: {tmp_path / 'both' / 'test'}"
    data_set(tmp_path / "chosen", _indices_data_files=[{"filename": "indices.arrow"}])
    with pytest.raises(BadInput, match="expected rows stored in their order, found indices into other files"):
        item_files([tmp_path / "chosen"])
    for content in ("{", "[]", '{"_data_files": [{}]}', '{"_data_files": []}', "[" * 100_000):
        (tmp_path / "chosen" / "state.json").write_text(content)
        with pytest.raises(BadInput, match=r"state.json: expected"):
            item_files([tmp_path / "chosen"])
    data_set(tmp_path / "outside", _data_files=[{"filename": "../chosen/data-00001-of-00002.arrow"}])
    with pytest.raises(BadInput, match="expected names of files in this folder"):
        item_files([tmp_path / "outside"])
    data_set(tmp_path / "gone", _data_files=[{"filename": "data-7.arrow"}])
    with pytest.raises(BadInput, match="no such file"):
        item_files([tmp_path / "gone"])


def beir(folder: Path, **qrels: str) -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {"_id": "d1", "title": "A title", "text": "and a text ", "metadata": {"url": "x"}},
        {"_id": "d2", "title": "", "text": "no title", "metadata": {}},
        {"_id": "d3", "title": "only this", "text": ""},
    ]
    queries = [{"_id": "q1", "text": " one", "metadata": {}}, {"_id": "q2", "text": "two"}, {"_id": "q3", "text": "3"}]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, lines in qrels.items():
        (folder / "qrels" / f"{name}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return folder


def test_beir_texts_are_joined_as_beir_does(tmp_path: Path) -> None:
    folder = beir(tmp_path / "set", test="q2\td1\t1\n")
    items = open_items([corpus_of(folder)])
    assert items.ids.to_pylist() == ["d1", "d2", "d3"]
    assert next(items.blocks()).inputs == ["A title and a text", "no title", "only this"]
    queries = open_items([folder])
    assert [queries.ids.to_pylist(), next(queries.blocks()).inputs] == [["q1", "q2", "q3"], [" one", "two", "3"]]


def test_beir_judgements(tmp_path: Path) -> None:
    folder = beir(tmp_path / "set", train="q1\td2\t1\n", test="q2\td1\t2\nq3\td9\t0\n")
    path = judgements_of(folder)
    assert path == folder / "qrels" / "test.tsv"
    assert judged_queries(path, pa.string()).to_pylist() == ["q2", "q3"]
    judged = read_judgements(path, pa.array(["q1", "q2", "q3"]), pa.string())
    assert [judged.query.tolist(), judged.row.to_pylist(), judged.grade.tolist()] == [[1], ["d1"], [2.0]]
    only = beir(tmp_path / "only", dev="q2\td1\t1\n")
    assert judgements_of(only).name == "dev.tsv"
    with pytest.raises(BadInput, match=r"found a\.tsv, b\.tsv"):
        judgements_of(beir(tmp_path / "several", a="", b=""))
    with pytest.raises(BadInput, match="found none"):
        judgements_of(beir(tmp_path / "none"))
    # MTEB also has them as JSON lines.
    lines = [{"query-id": "q2", "corpus-id": "d1", "score": 2}, {"query-id": "q3", "corpus-id": "d9", "score": 0}]
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    again = read_judgements(tmp_path / "test.jsonl", pa.array(["q1", "q2", "q3"]), pa.string())
    assert [again.query.tolist(), again.row.to_pylist(), again.grade.tolist()] == [[1], ["d1"], [2.0]]


def test_other_files_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"_id": "other", "id": "a", "title": "t", "text": "x"}\n')
    items = open_items([path])
    assert [items.ids.to_pylist(), next(items.blocks()).inputs] == [["a"], ["x"]]
    with pytest.raises(BadInput, match="the same file twice"):
        item_files([path, path])
