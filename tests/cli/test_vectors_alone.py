"""Re-ranking where only vectors and judgements are left: its next commands run as printed, and a service goes on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from skipfill.compat.serving import released
from skipfill.store.errors import BadInput
from tests.conftest import Skipfill
from tests.judged_docs import OTHERS, ROWS, write_docs

QUERIES = ("--items", "heldout.parquet", "--items", "proof.parquet")
JUDGED = ("--judgements", "judged.tsv", "--old-vector", "old")
NAMES = {
    "HELDOUT.parquet": "heldout.parquet",
    "QUERIES.parquet": "queries.parquet",
    "ROWS.parquet": "rows.parquet",
    "PROOF.parquet": "proof.parquet",
    "JUDGEMENTS.tsv": "judged.tsv",
    "TEXT": "again",
}
"""Placeholders of next commands, and the files of this test."""


@pytest.fixture
def docs(skipfill: Skipfill, tmp_path: Path) -> None:
    """Gallery `docs`, whose encoder is gone, judged by nDCG@10; and the new encoder's vectors as model `v2`."""
    write_docs(tmp_path)
    skipfill("init")
    skipfill("gallery", "add", "docs", "gallery.parquet", "--space", "ada")
    skipfill("policy", "docs", "--metric", "nDCG@10", "--reason", "judged")
    skipfill("train", "v2", "--gallery", "docs", "--items", "rows.parquet", "--method", "procrustes")


def told(text: str, start: str = "Next: ") -> list[str]:
    """The words of the first command after `start`, with this test's files."""
    command = re.search(rf"{start}skipfill (.+?)(?=\. [A-Z]|\n|$)", text)
    assert command, text
    return [NAMES.get(word, word) for word in shlex.split(command[1])]


def columns(path: str, *names: str) -> list[np.ndarray]:
    table = pq.read_table(path)
    return [np.stack(table.column(name).to_pylist()).astype(np.float32) for name in names]


def test_the_next_commands_lead_through(skipfill: Skipfill, docs: None) -> None:
    """From a plan without a check to the search after the rollback, each as the command before it says."""
    planned = skipfill("plan", "docs", "v2", "--rerank", 50, expect=1).err
    assert told(planned)[:5] == ["check", "docs", "v2", "--rerank", "50"]
    assert "--gallery-items ROWS.parquet" in planned
    several = ["check", "docs", "v2", *QUERIES, *JUDGED, "--gallery-items", "rows.parquet"]
    checked = skipfill(*several, "--rerank", "10,50,200", "--keep").err
    assert told(checked)[:3] == ["swap", "docs", "v2"]
    assert told(skipfill("report", "docs").err) == told(checked)
    assert told(skipfill().out) == told(checked)
    missing = skipfill("plan", "docs", "v2", "--rerank", 60, expect=1).err
    assert skipfill(*told(missing), "--items", "proof.parquet", expect=None).code in (0, 3)
    refused = skipfill("swap", "docs", "v2", "--rerank", 70, expect=1).err
    for words in ("--rerank 70", "--judgements JUDGEMENTS.tsv", "--old-vector old", "--gallery-items ROWS.parquet"):
        assert words in refused
    swapped = skipfill(*told(checked)).err
    search = told(swapped)
    given = ["--old-vector", "old", "--gallery-items", "rows.parquet", "--keep"]
    assert search == ["search", "docs", "--items", "queries.parquet", *given]
    shown = skipfill(*search).out
    assert "scored by" in shown
    assert " v2" in shown
    assert told(skipfill().out) == ["status", "docs"]
    back = skipfill("rollback", "docs", "--reason", "try").err
    assert told(back) == ["search", "docs", "--vectors", "queries.parquet", "--vector", "old"]
    by_vectors = skipfill(*told(back), "--json").document["hits"]
    brought = skipfill("search", "docs", "--items", "queries.parquet", "--old-vector", "old", "--json")
    assert brought.document["hits"] == by_vectors
    assert "--vectors FILE --vector COLUMN" in skipfill("search", "docs", "--items", "queries.parquet", expect=2).err
    again = skipfill("plan", *told(checked)[1:], expect=1).err
    assert told(again) == [
        *("check", *told(checked)[1:], "--gallery-items", "rows.parquet", *JUDGED),
        *("--items", "heldout.parquet", "--items", "INCIDENT.parquet"),
    ]
    refused = skipfill(*told(checked), expect=1).err
    assert f"skipfill swap {' '.join(told(checked)[1:])} --reason TEXT" in refused
    once_more = told(skipfill(*several, *told(again)[3:5], "--keep").err)
    assert sorted(once_more) == sorted(told(again))
    assert told(skipfill("report", "docs").err) == told(again)


def test_rows_that_are_missing_are_asked_for(skipfill: Skipfill, docs: None) -> None:
    """Neither a check nor an advice asks for more queries where nothing was re-ranked for lack of vectors."""
    check = ["check", "docs", "v2", *QUERIES, *JUDGED, "--rerank", "10,50"]
    undecided = skipfill(*check, expect=3).err
    assert told(undecided) == [*check, "--gallery-items", "rows.parquet"]
    assert "ROWS.parquet: the items of gallery rows; 100% of the candidates had no new vector" in undecided
    assert "with the items of gallery rows" in skipfill("swap", "docs", "v2", "--rerank", 50, expect=1).err
    assert told(skipfill("report", "docs").err) == [
        *("check", "docs", "v2", "--rerank", "50", "--gallery-items", "rows.parquet"),
        *(*JUDGED, "--items", "heldout.parquet"),
    ]
    assert skipfill(*told(undecided)).code == 0


def test_a_missing_proof_is_asked_for(skipfill: Skipfill, docs: None) -> None:
    check = ["check", "docs", "v2", *QUERIES[:2], *JUDGED, "--gallery-items", "rows.parquet", "--rerank", "50"]
    undecided = skipfill(*check, expect=3).err
    again = told(undecided)
    assert again[-2:] == ["--items", "proof.parquet"]
    refused = skipfill("swap", "docs", "v2", "--rerank", 50, expect=1).err
    assert "with at least 32 gallery rows that have the column of old vectors" in refused
    skipfill(*again)
    skipfill("swap", "docs", "v2", "--rerank", 50)


def test_candidates_by_the_map_need_no_old_vectors_in_a_search(skipfill: Skipfill, docs: None) -> None:
    given = [*QUERIES, *JUDGED, "--gallery-items", "rows.parquet", "--candidates", "view", "--rerank", 200]
    checked = skipfill("check", "docs", "v2", *given, "--keep").err
    assert told(checked) == ["swap", "docs", "v2", "--rerank", "200", "--candidates", "view"]
    assert told(skipfill("plan", "docs", "v2", "--rerank", 200).err) == told(checked)
    assert told(skipfill().out) == told(checked)
    search = told(skipfill(*told(checked)).err)
    assert "--old-vector" not in search
    skipfill(*search)


def test_a_plan_says_what_re_ranking_saves(skipfill: Skipfill, docs: None) -> None:
    """Candidates are encoded: only the other rows are saved, and fewer after more queries."""
    check = ["check", "docs", "v2", *QUERIES, *JUDGED, "--gallery-items", "rows.parquet", "--rerank", "10"]
    measured = skipfill(*check, "--json").document["check"]["rerank"]
    planned = skipfill("plan", "docs", "v2", "--rerank", 10, "--json").document["plan"]["avoids"]
    assert planned["rows"] == ROWS + OTHERS - measured["touched"]
    assert planned["arithmetic"]["candidates"].startswith(f"{measured['touched']} of {ROWS + OTHERS} rows")
    shown = " ".join(skipfill("plan", "docs", "v2", "--rerank", 10).out.split())
    assert "saves, because only candidates are encoded" in shown
    assert "v2, re-ranking 10 (the old query finds the candidates)" in shown
    assert f"after {measured['predicted'][0]['queries']} queries" in shown
    skipfill("overlay", "add", "docs", "v2", "--items", "rows.parquet")
    skipfill(*check)
    all_there = skipfill("plan", "docs", "v2", "--rerank", 10, "--json").document["plan"]["avoids"]["rows"]
    assert all_there <= OTHERS
    unknown = skipfill("plan", "docs", "v2", "--rerank", 9, "--without-check", "try", "--json").document
    assert "not known without a check" in unknown["plan"]["avoids"]["arithmetic"]["candidates"]


def test_the_numbers_of_candidates_have_bounds_and_a_rule(skipfill: Skipfill, docs: None) -> None:
    check = ["check", "docs", "v2", *QUERIES, *JUDGED, "--gallery-items", "rows.parquet", "--rerank", "5,50,200"]
    done = skipfill(*check, "--json")
    measured = done.document["check"]["rerank"]
    assert [one["k"] for one in measured["tried"]] == [200, 50, 5]
    for one in measured["tried"]:
        assert one["low"] < one["change"] < one["high"]
        assert one["now"] <= one["encoded"]
    best = max(one["value"] for one in measured["tried"])
    chosen = min(one["k"] for one in measured["tried"] if one["as_good"])
    assert best in [one["value"] for one in measured["tried"] if one["as_good"]]
    assert chosen > 5
    shown = " ".join(skipfill(*check, "--no-save", "--html", "page.html").out.split())
    said = f"5 is the smallest number of candidates that passes. {chosen} is the smallest that passes and is as good as"
    assert said in shown
    assert said in Path("page.html").read_text()
    assert told(done.err) == ["swap", "docs", "v2", "--rerank", str(chosen)]
    assert told(done.err, "fewer rows to encode: ") == ["swap", "docs", "v2", "--rerank", "5"]


def test_an_advice_says_how_it_chose_the_number(skipfill: Skipfill, docs: None) -> None:
    skipfill("overlay", "add", "docs", "v2", "--items", "rows.parquet")
    advised = skipfill("advise", "docs", "--candidate", "v2", *QUERIES, *JUDGED, "--halves", "halves")
    assert "Recommended: v2, re-ranking 200 is better than staying" in advised.out
    assert "smallest number of candidates that is as good as the best row" in " ".join(advised.out.split())
    asked = told(advised.err)
    assert asked[:6] == ["check", "docs", "v2", "--rerank", "200", "--keep"]
    skipfill(*asked)


def test_a_released_model_is_no_candidate_and_the_next_step_is_told(skipfill: Skipfill, docs: None) -> None:
    skipfill("swap", "docs", "v2", "--without-check", "try")
    refused = skipfill("advise", "docs", "--candidate", "v2", *QUERIES, *JUDGED, expect=2).err
    assert "found v2, released in version 3" in refused
    assert "skipfill check docs v2 --rerank 10,50,200" in refused
    assert "skipfill status docs" in refused


def test_filling_an_overlay_leads_to_a_check(skipfill: Skipfill, docs: None) -> None:
    added = skipfill("overlay", "add", "docs", "v2", "--items", "rows.parquet").err
    assert told(added) == ["check", "docs", "v2", "--rerank", "10,50,200", "--items", "heldout.parquet"]
    skipfill("swap", "docs", "v2", "--rerank", 20, "--without-check", "try")
    added = skipfill("overlay", "add", "docs", "v2", "--items", "rows.parquet").err
    assert told(added) == ["overlay", "show", "docs", "v2"]


def test_a_service_takes_old_vectors_over_a_swap_and_a_rollback(skipfill: Skipfill, docs: None) -> None:
    """The same calls work before, between and after, though nothing in the store encodes in the old space."""
    new, old = columns("queries.parquet", "vector", "old")
    unit = old / np.linalg.norm(old, axis=1, keepdims=True)
    ids, [stored] = pq.read_table("gallery.parquet")["id"].to_pylist(), columns("gallery.parquet", "vector")
    rows, [of_rows] = pq.read_table("rows.parquet")["id"].to_pylist(), columns("rows.parquet", "vector")
    database = dict(zip(rows, of_rows, strict=True))

    def candidates(vector: np.ndarray) -> list[str]:
        cosines = (stored / np.linalg.norm(stored, axis=1, keepdims=True)) @ vector
        return [ids[row] for row in np.argsort(-cosines)[:20] if ids[row] in database]

    def fetch(asked: list[str]) -> np.ndarray:
        return np.stack([database[one] for one in asked])

    found = []
    for release in (None, "v2", None):
        with released(".skipfill", "docs", fetch=fetch) as served:
            assert served.model == (release or "ada")
            np.testing.assert_allclose(served.encode(new, old), unit, atol=1e-6)
            with pytest.raises(BadInput, match="old vectors of the queries, because model ada is not in the store"):
                served.encode(new)
            with pytest.raises(BadInput, match="finite vectors of dimension 16"):
                served.encode(new, old[:, :5])
            found.append(served.rerank(new[0], candidates(unit[0])).ids)
            assert served.thresholds == []
            assert not served.changed()
            if release is None and len(found) == 1:
                skipfill("swap", "docs", "v2", "--rerank", 50, "--candidates", "old", "--without-check", "try")
                assert served.changed()
            elif release:
                skipfill("rollback", "docs")
    assert found[0] == found[2] == candidates(unit[0])
    by_new = sorted(found[0], key=lambda one: -float(new[0] @ database[one] / np.linalg.norm(database[one])))
    assert found[1] == by_new != found[0]
