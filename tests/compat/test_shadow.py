"""Shadow traffic: users get the released model's answers, and a candidate's are noted beside them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.serving import Served, released
from skipfill.compat.serving.noted import overlap
from skipfill.compat.serving.shadow import MOST_WAITING, ROWS_OF_FILE
from skipfill.store.errors import BadInput
from skipfill.store.parquet.vectors import Matrix
from tests.compat.inference.bundles import texts
from tests.conftest import Skipfill, World

STORE, NOTES = Path(".skipfill"), Path("shadow")


def queries_of(path: Path) -> Matrix:
    return np.stack(pq.read_table(path)["vector"].to_pylist()).astype(np.float32)


def noted() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(NOTES).to_pylist()
    return rows


def test_both_answers_are_those_of_a_search(skipfill: Skipfill, with_v2: World) -> None:
    queries = queries_of(with_v2.heldout)
    ids = pq.read_table(with_v2.heldout)["id"].to_pylist()
    expected = {}
    with released(STORE, "things") as served:
        answers = served.compare(queries, "v2", NOTES, k=5, query_ids=ids)
        assert served.shadow_failures == []
    for model in ("v1", "v2"):
        if model == "v2":
            skipfill("swap", "things", "v2", "--without-check", "test")
        hits = skipfill("search", "things", "--items", with_v2.heldout, "-k", 5, "--json").document["hits"]
        expected[model] = [[hit["id"] for hit in hits[at : at + 5]] for at in range(0, len(hits), 5)]
    assert answers.ids == expected["v1"]
    assert (answers.query_ids, len(answers.scores), len(answers.scores[0])) == (ids, len(ids), 5)
    rows = noted()
    assert [row["id"] for row in rows] == ids
    assert [row["released_ids"] for row in rows] == expected["v1"]
    assert [row["candidate_ids"] for row in rows] == expected["v2"]
    assert {row["released"] for row in rows} | {row["candidate"] for row in rows} == {"v1", "v2"}
    assert {(row["gallery_name"], row["gallery_version"], row["k"], row["failure"]) for row in rows} == {
        ("things", 1, 5, "")
    }
    for row in rows:
        assert row["overlap"] == len(set(row["released_ids"]) & set(row["candidate_ids"])) / 5
        assert row["released_ms"] > 0
        assert row["candidate_ms"] > 0
    assert 0 < np.mean([row["overlap"] for row in rows]) < 1
    np.testing.assert_array_equal(queries_of(next(NOTES.iterdir())), queries)


def test_the_notes_are_held_out_queries_of_a_check(skipfill: Skipfill, with_v2: World) -> None:
    """With judgements of what users chose, by the ids of the queries."""
    table = pq.read_table(with_v2.known)
    with released(STORE, "things") as served:
        for start in range(0, len(table), 40):
            served.compare(queries_of(with_v2.known)[start : start + 40], "v2", NOTES)
        served.close()
        served.compare(queries_of(with_v2.known)[:1], "v2", NOTES)
    assert len(list(NOTES.iterdir())) == 2
    rows, labels = noted(), {}
    for vector, label in zip(queries_of(with_v2.known), table["label"].to_pylist(), strict=True):
        labels[vector.tobytes()] = label
    stored = pq.read_table("gallery.parquet").to_pylist()
    judged = [
        {"query_id": row["id"], "row_id": one["id"], "grade": 1}
        for row in rows
        for one in stored
        if one["label"] == labels[np.float32(row["vector"]).tobytes()]
    ]
    pq.write_table(pa.Table.from_pylist(judged), "chosen.parquet")
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    done = skipfill(
        "check", "things", "v2", "--items", NOTES, "--judgements", "chosen.parquet", "--slice", "overlap < 1"
    )
    assert done.out.startswith("PASS")
    assert "overlap < 1" in done.out


def test_texts_images_and_an_index_of_ones_own(skipfill: Skipfill, tmp_path: Path) -> None:
    """The gallery's files are not needed then; a list of a service may change after the call."""
    skipfill("init")
    card = texts(tmp_path)
    skipfill("encode", card.name, "items.parquet", "-o", "g.parquet")
    skipfill("gallery", "add", "g", "g.parquet", "--space", card.name)
    Path("g.parquet").unlink()
    queries = ["ab", "ba"]
    asked: list[tuple[tuple[int, ...], int]] = []

    def find(vectors: Matrix, k: int) -> Any:
        asked.append((vectors.shape, k))
        return [[7, 8, 9]] * len(vectors), [[0.9, 0.8, 0.7]] * len(vectors)

    with released(STORE, "g") as served:
        answers = served.compare(queries, card.name, str(NOTES), k=2, find=find)
        queries.clear()
        assert served.compare([], card.name, NOTES).ids == []
    assert (answers.ids, answers.scores) == ([[7, 8]] * 2, [[0.9, 0.8]] * 2)
    assert asked == [((2, card.dim), 2)] * 2
    rows = noted()
    assert [row["text"] for row in rows] == ["ab", "ba"]
    assert [row["id"] for row in rows] == answers.query_ids
    assert len({*answers.query_ids}) == 2
    # Its own index gave more than it was asked for.
    assert [(row["candidate_ids"], row["overlap"]) for row in rows] == [([7, 8], 1)] * 2


@pytest.mark.parametrize("candidate", ["v9", "v2"])
def test_a_candidate_that_fails_is_noted(skipfill: Skipfill, with_v2: World, candidate: str) -> None:
    """Nobody gets its error: neither that of a model that is not there, nor that of the user's own index."""
    queries = queries_of(with_v2.heldout)[:3]

    def find(vectors: Matrix, k: int) -> Any:
        if threading.current_thread() is not threading.main_thread():
            raise TimeoutError("the index is\naway")
        return [["a"]] * len(vectors), [[1.0]] * len(vectors)

    with released(STORE, "things") as served:
        assert served.compare(queries, candidate, NOTES, find=find).ids == [["a"]] * 3
        assert served.shadow_failures == []
    rows = noted()
    assert [row["released_ids"] for row in rows] == [["a"]] * 3
    for name in ("candidate_ids", "candidate_scores", "candidate_ms", "overlap"):
        assert [row[name] for row in rows] == [None] * 3
    expected = "BadInput: model" if candidate == "v9" else "TimeoutError: the index is"
    assert all(row["failure"].startswith(expected) for row in rows), rows[0]["failure"]


def test_an_index_may_give_arrays(skipfill: Skipfill, with_v2: World) -> None:
    def find(vectors: Matrix, k: int) -> Any:
        return np.tile(np.arange(k), (len(vectors), 1)), np.ones((len(vectors), k), np.float32)

    with released(STORE, "things") as served:
        answers = served.compare(queries_of(with_v2.heldout)[:2], "v2", NOTES, k=3, find=find)
        assert answers.ids == [[0, 1, 2]] * 2
        with pytest.raises(BadInput, match="find: expected 2 lists of ids, and as many scores, found 1 and 1"):
            served.compare(queries_of(with_v2.heldout)[:2], "v2", NOTES, find=lambda vectors, k: ([[1]], [[1.0]]))
    assert [row["candidate_ids"] for row in noted()] == [[0, 1, 2]] * 2


@pytest.mark.parametrize("released_finds", [True, False])
def test_an_index_may_find_nothing_for_one_of_the_models(
    skipfill: Skipfill, with_v2: World, released_finds: bool
) -> None:
    """These are the queries that a comparison is for."""

    def find(vectors: Matrix, k: int) -> Any:
        by_released = threading.current_thread() is threading.main_thread()
        found = by_released == released_finds
        return [["a"] if found else []] * len(vectors), [[1.0] if found else []] * len(vectors)

    with released(STORE, "things") as served:
        served.compare(queries_of(with_v2.heldout)[:2], "v2", NOTES, find=find)
        served.close()
        assert served.shadow_failures == []
    rows = [(row["released_ids"], row["candidate_ids"], row["overlap"]) for row in noted()]
    assert rows == [((["a"], [], 0) if released_finds else ([], ["a"], 0))] * 2


def test_old_vectors_that_the_caller_changes_after_the_call(skipfill: Skipfill, with_v2: World) -> None:
    go = threading.Event()
    queries, old = queries_of(with_v2.heldout)[:2], np.ones((2, 8), np.float32)

    def find(vectors: Matrix, k: int) -> Any:
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(60)
        return [["a"]] * len(vectors), [[1.0]] * len(vectors)

    with released(STORE, "things") as served:
        served.compare(queries, "v2", NOTES, find=find, old_vectors=old)
        old[:] = 7
        go.set()
    assert [row["old_vector"] for row in noted()] == [[1.0] * 8] * 2


def test_an_answer_that_fails_is_raised_and_not_noted(skipfill: Skipfill, with_v2: World) -> None:
    with released(STORE, "things") as served:
        with pytest.raises(BadInput, match="queries: expected an"):
            served.compare(np.full((2, 16), np.nan, np.float32), "v2", NOTES)
        with pytest.raises(BadInput, match="query_ids: expected 2, one per query, found 1"):
            served.compare(np.ones((2, 16), np.float32), "v2", NOTES, query_ids=["a"])
    assert not NOTES.exists()


def test_notes_that_cannot_be_written_are_told(skipfill: Skipfill, with_v2: World) -> None:
    NOTES.write_text("a file, where a folder should be")
    with released(STORE, "things") as served:
        assert len(served.compare(queries_of(with_v2.heldout)[:3], "v2", NOTES).ids) == 3
        served.close()
        assert served.shadow_failures == [f"v2, {NOTES}: 3 queries are not noted: {NOTES}: File exists"]


def test_calls_with_columns_of_other_types_are_noted_in_files_of_their_own(skipfill: Skipfill, with_v2: World) -> None:
    queries = queries_of(with_v2.heldout)[:3]
    with released(STORE, "things") as served:
        for row in ("a", 1):
            served.compare(queries, "v2", NOTES, find=lambda given, k, row=row: ([[row]] * 3, [[1.0]] * 3))  # type: ignore[misc]
        served.close()
        assert served.shadow_failures == []
    assert sorted(len(pq.read_table(file)) for file in NOTES.iterdir()) == [3, 3]


def test_a_slow_candidate_costs_notes_and_no_memory(skipfill: Skipfill, with_v2: World) -> None:
    """Nobody waits for it, and only so many queries wait."""
    go = threading.Event()
    queries = np.tile(queries_of(with_v2.heldout), (2, 1))[:250]

    def find(vectors: Matrix, k: int) -> Any:
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(60)
        return [["a"]] * len(vectors), [[1.0]] * len(vectors)

    with released(STORE, "things") as served:
        for _ in range(6):
            served.compare(queries, "v2", NOTES, find=find)
        lost = 6 * 250 - MOST_WAITING
        assert served.shadow_failures == [
            f"v2, {NOTES}: {lost} queries are not noted: more than 1,000 queries wait for v2"
        ]
        go.set()
        served.close()
        assert len(noted()) == MOST_WAITING
        served.compare(queries, "v2", NOTES, find=find)
    assert len(noted()) == MOST_WAITING + 250


def test_threads_share_it(skipfill: Skipfill, with_v2: World) -> None:
    queries = queries_of(with_v2.heldout)
    expected = {}

    def ask(served: Served, number: int) -> None:
        at = number % len(queries)
        answers = served.compare(queries[at : at + 1], "v2", NOTES, k=3)
        expected[answers.query_ids[0]] = (queries[at].tolist(), answers.ids[0])

    with released(STORE, "things") as served:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: ask(served, number), range(400)))
        assert served.shadow_failures == []
    assert {row["id"]: (row["vector"], row["released_ids"]) for row in noted()} == expected
    assert len(expected) == 400


def test_a_file_for_every_thousand_queries(skipfill: Skipfill, with_v2: World) -> None:
    """Written before the end, so that an interrupted service loses few."""
    queries = queries_of(with_v2.heldout)[:100]
    written = threading.Event()

    def find(vectors: Matrix, k: int) -> Any:
        return [["a"]] * len(vectors), [[1.0]] * len(vectors)

    with released(STORE, "things") as served:
        while not written.is_set():
            served.compare(queries, "v2", NOTES, find=find)
            if NOTES.exists() and any(NOTES.iterdir()):
                written.set()
        first = pq.read_table(next(NOTES.iterdir()))
        assert len(first) == ROWS_OF_FILE


def test_a_re_ranking_release(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("overlay", "add", "things", "v2", "--items", with_v2.gallery_items)
    skipfill("swap", "things", "v2", "--without-check", "test", "--rerank", 20)
    hits = skipfill("search", "things", "--items", with_v2.heldout, "-k", 5, "--json").document["hits"]
    with released(STORE, "things") as served:
        answers = served.compare(queries_of(with_v2.heldout), "v1", NOTES, k=5)
    assert [one for ids in answers.ids for one in ids] == [hit["id"] for hit in hits]
    assert {row["released"] for row in noted()} == {"v2"}


def test_overlap() -> None:
    assert [overlap([1, 2], [2, 3]), overlap([], []), overlap([1], []), overlap([1, 2, 3, 4], [4])] == [0.5, 1, 0, 0.25]
