"""A check of a BEIR folder asks what BEIR asks, and gets the numbers of trec_eval on the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import Skipfill, World


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def write_beir(world: World, folder: Path) -> None:
    """The gallery's items as documents, and held-out items as queries: two of three are of the part `test`."""
    (folder / "qrels").mkdir(parents=True)
    documents, queries = (pq.read_table(path).to_pylist() for path in (world.gallery_items, world.known))
    for name, rows in (("corpus", documents), ("queries", queries)):
        lines(folder / f"{name}.jsonl", [{"_id": row["id"], "vector": row["vector"], "metadata": {}} for row in rows])
    for number, part in enumerate(("train", "test", "test")):
        with (folder / "qrels" / f"{part}.tsv").open("a") as file:
            file.write("" if file.tell() else "query-id\tcorpus-id\tscore\n")
            for query in queries[number::3]:
                alike = [row["id"] for row in documents if row["label"] == query["label"]]
                file.writelines(f"{query['id']}\t{one}\t{1 + at % 3}\n" for at, one in enumerate(alike[::3]))


def of_trec_eval(skipfill: Skipfill, model: str, qrels: Path) -> float:
    """The metric of all queries that the judgements name, from products of encoded vectors."""
    skipfill("encode", model, "set/queries.jsonl", "--onto", "v1", "-o", f"{model}.parquet")
    queries, rows = (pq.read_table(f"{name}.parquet") for name in (model, "gallery"))
    scores = np.stack(queries["vector"].to_pylist()) @ np.stack(rows["vector"].to_pylist()).T
    read = [line.split("\t") for line in qrels.read_text().splitlines()[1:]]
    judged = [ir_measures.Qrel(query, row, int(grade)) for query, row, grade in read]
    asked, ids = {one.query_id for one in judged}, rows["id"].to_pylist()
    run = [
        ir_measures.ScoredDoc(query, row, float(score))
        for query, of_query in zip(queries["id"].to_pylist(), scores, strict=True)
        if query in asked
        for row, score in zip(ids, of_query, strict=True)
    ]
    return float(ir_measures.calc_aggregate([ir_measures.nDCG @ 10], judged, run)[ir_measures.nDCG @ 10])


@pytest.mark.parametrize("part", ["", "/qrels/train.tsv"])
def test_a_beir_folder_is_asked_as_beir_asks_it(skipfill: Skipfill, with_v2: World, tmp_path: Path, part: str) -> None:
    write_beir(with_v2, tmp_path / "set")
    queries = len(pq.read_table(with_v2.known))
    given = ("--items", "set", "--judgements", f"set{part}", "--gallery-items", "set", "--metric", "nDCG@10")
    check = skipfill("check", "things", "v2", *given, "--json", "--no-save", expect=None).document["check"]
    assert check["slices"][0]["queries"] == (queries // 3 if part else queries - queries // 3)
    assert check["reencoded_rows"] == len(pq.read_table(with_v2.gallery_items))
    qrels = tmp_path / "set" / (part.lstrip("/") or "qrels/test.tsv")
    measured = {(cell["pair"], cell["metric"]): cell["value"]["mean"] for cell in check["slices"][0]["cells"]}
    for pair, model in {"old/old": "v1", "new/old": "v2"}.items():
        assert measured[pair, "nDCG@10"] == pytest.approx(of_trec_eval(skipfill, model, qrels), abs=1e-6)
