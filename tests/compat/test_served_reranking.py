"""A service with an index of its own, which re-ranks what that finds: over a swap and a rollback."""

from __future__ import annotations

import threading
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.reranking.fresh_vectors import FreshVectors
from skipfill.compat.serving import Served, released
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import load_card
from skipfill.store.overlays.log import newest_entry
from skipfill.store.overlays.overlay import Overlay, open_overlay
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World

STORE = Path(".skipfill")
K = 20


class Service:
    """A search service: rows in an index of its own, and their items in a database."""

    def __init__(self, vectors: np.ndarray, ids: list[str], database: dict[str, np.ndarray]) -> None:
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        self.index.add(vectors)
        self.ids, self.database = ids, database
        self.fetched: list[str] = []
        self.served = self.load()

    def load(self) -> Served:
        return released(STORE, "things", fetch=self.items)

    def items(self, ids: list[str]) -> np.ndarray:
        self.fetched += ids
        return np.stack([self.database[one] for one in ids])

    def answer(self, query: np.ndarray) -> list[str]:
        if self.served.changed():
            self.served.close()
            self.served = self.load()
        _, rows = self.index.search(self.served.encode(query[None]), K)
        return self.served.rerank(query, [self.ids[row] for row in rows[0]]).ids


def columns(path: str | Path) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(path)
    return table.column("id").to_pylist(), np.stack(table.column("vector").to_pylist()).astype(np.float32)


@pytest.fixture
def service(with_v2: World) -> Service:
    ids, stored = columns("gallery.parquet")
    items, features = columns(with_v2.gallery_items)
    assert ids == items
    return Service(stored, ids, dict(zip(ids, features, strict=True)))


@pytest.fixture
def queries(with_v2: World) -> np.ndarray:
    return columns(with_v2.heldout)[1][:30]


def swap_to_reranking(skipfill: Skipfill, k: int = K) -> None:
    skipfill("swap", "things", "v2", "--rerank", k, "--candidates", "old", "--without-check", "test")


def overlay_of() -> Overlay:
    objects = open_store(STORE)
    card = load_card(objects, "v2")
    return open_overlay(objects, "things", card.fingerprint, card.dim)


def found_by(vectors: np.ndarray, ids: list[str], query: np.ndarray, k: int) -> list[str]:
    """The ids of the k rows with the highest products, equal ones by the smaller id."""
    return [ids[row] for row in np.lexsort((ids, -(vectors.astype(np.float64) @ query.astype(np.float64))))[:k]]


def test_a_service_reranks_over_a_swap_and_a_rollback(
    skipfill: Skipfill, service: Service, queries: np.ndarray, with_v2: World
) -> None:
    skipfill("encode", "v2", with_v2.gallery_items, "-o", "by_v2.parquet")
    skipfill("encode", "v2", with_v2.heldout, "-o", "queries_by_v2.parquet")
    ids, new = columns("by_v2.parquet")
    new_queries = columns("queries_by_v2.parquet")[1][:30]
    before = [service.answer(query) for query in queries]
    assert service.fetched == []
    old_queries = service.served.encode(queries)

    swap_to_reranking(skipfill)
    for query, by_new, old in zip(queries, new_queries, before, strict=True):
        rows = [ids.index(one) for one in old]
        assert service.answer(query) == found_by(new[rows], old, by_new, K)
    np.testing.assert_allclose(service.served.encode(queries), old_queries, atol=1e-6)  # the old query finds them
    asked = {one for old in before for one in old}
    assert sorted(service.fetched) == sorted(asked)  # each once
    assert overlay_of().rows == 0  # fewer than 1,000 rows, and less than a minute
    assert [service.answer(query) for query in queries] != before

    skipfill("rollback", "things")
    assert [service.answer(query) for query in queries] == before
    assert overlay_of().rows == len(asked)  # committed when the service noticed
    skipfill("swap", "things", "v2", "--rerank", K, "--candidates", "old", "--without-check", "again")
    service.fetched.clear()
    after = [service.answer(query) for query in queries]
    assert service.fetched == []  # the overlay has stayed
    assert [sorted(one) for one in after] == [sorted(one) for one in before]


def test_candidates_without_a_vector_keep_their_places(
    skipfill: Skipfill, service: Service, queries: np.ndarray
) -> None:
    swap_to_reranking(skipfill)
    ids = service.ids[:12]
    gone = {ids[0], ids[5], ids[11]}
    with released(STORE, "things", fetch=service.items) as served:
        served.rerank(queries[0], [one for one in ids if one not in gone])
    served = released(STORE, "things")  # nothing fetches here
    result = served.rerank(queries[0], ids)
    kept = [at for at, one in enumerate(result.ids) if one in gone]
    assert kept == [0, 5, 11]
    assert sorted(result.ids) == sorted(ids)
    assert result.by_new_model.tolist() == [one not in gone for one in result.ids]
    assert np.isnan(result.scores).tolist() == (~result.by_new_model).tolist()
    scores = result.scores[result.by_new_model]
    assert (np.diff(scores) <= 0).all()
    empty = released(STORE, "things").rerank(queries[0], [])
    assert empty.ids == []


def test_only_the_released_number_of_candidates_is_reordered(
    skipfill: Skipfill, service: Service, queries: np.ndarray
) -> None:
    swap_to_reranking(skipfill, 5)
    with released(STORE, "things", fetch=service.items) as served:
        result = served.rerank(queries[0], service.ids[:9])
    assert result.ids[5:] == service.ids[5:9]
    assert sorted(result.ids[:5]) == sorted(service.ids[:5])
    assert result.by_new_model.tolist() == [True] * 5 + [False] * 4
    assert sorted(service.fetched) == sorted(service.ids[:5])


def test_an_item_that_changed_is_encoded_anew(skipfill: Skipfill, service: Service, queries: np.ndarray) -> None:
    swap_to_reranking(skipfill)
    ids = service.ids[:3]
    with released(STORE, "things", fetch=service.items) as served:
        before = served.rerank(queries[0], ids)
        items = service.items(ids)
        same = served.rerank(queries[0], ids, items)
        assert (same.ids, same.scores.tolist()) == (before.ids, before.scores.tolist())
        served.close()
        items[1] = queries[0]  # now the query itself
        now = served.rerank(queries[0], ids, items)
        assert now.ids[0] == ids[1]
        assert now.scores[0] == pytest.approx(1, abs=1e-5)
    assert overlay_of().rows == 4
    assert released(STORE, "things").rerank(queries[0], ids).ids[0] == ids[1]  # the newest counts
    back = released(STORE, "things").rerank(queries[0], ids, service.items(ids))
    assert (back.ids, back.scores.tolist()) == (before.ids, before.scores.tolist())


def test_what_is_encoded_is_not_kept_if_so_asked(skipfill: Skipfill, service: Service, queries: np.ndarray) -> None:
    swap_to_reranking(skipfill)
    with released(STORE, "things", fetch=service.items, keep=False) as served:
        first = served.rerank(queries[0], service.ids[:9])
        assert served.rerank(queries[0], service.ids[:9]).ids == first.ids
    assert len(service.fetched) == 9
    assert not (STORE / "overlays").exists()


def test_a_store_that_cannot_be_written_to_fails_no_query(
    skipfill: Skipfill, service: Service, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap_to_reranking(skipfill)
    served = released(STORE, "things", fetch=service.items)
    (STORE / "overlays").write_text("a file where the folder should be")
    reranker = served.reranker
    assert reranker is not None
    reranker.fresh.most_rows = 5
    first = served.rerank(queries[0], service.ids[:9]).ids
    for thread in threading.enumerate():
        if thread.name == "skipfill overlay":
            thread.join()
    reranker.fresh.commit_if_due()
    assert str(STORE) in served.overlay_failure
    assert served.rerank(queries[0], service.ids[:9]).ids == first
    with pytest.raises(BadInput):
        served.close()
    (STORE / "overlays").unlink()
    served.close()
    assert (served.overlay_failure, overlay_of().rows) == ("", 9)


def test_a_gallery_s_own_model_reranks_nothing(service: Service, queries: np.ndarray) -> None:
    with service.served as served:
        result = served.rerank(queries[0], service.ids[:4])
    assert result.ids == service.ids[:4]
    assert not result.by_new_model.any()
    assert service.fetched == []


def test_candidates_that_are_none(skipfill: Skipfill, service: Service, queries: np.ndarray) -> None:
    swap_to_reranking(skipfill)
    served = released(STORE, "things", fetch=service.items)
    for ids in ([None], [1.5], ["a", 1]):
        with pytest.raises(BadInput, match="candidate_ids"):
            served.rerank(queries[0], ids)
    with pytest.raises(BadInput, match="expected vectors, which model v2 encodes, found texts"):
        served.rerank("a text", service.ids[:2])
    with pytest.raises(BadInput, match="items of candidates: expected 2, one an id, found 1"):
        served.rerank(queries[0], service.ids[:2], np.ones((1, 16), np.float32))
    with pytest.raises(BadInput, match="expected vectors, which model v2 encodes, found texts"):
        served.rerank(queries[0], service.ids[:2], ["a", None])
    assert released(STORE, "things").rerank(queries[0], service.ids[:2], [None, None]).ids == service.ids[:2]


def test_batches_are_committed_when_they_are_full_or_old(with_v2: World) -> None:
    now = [0.0]
    objects = open_store(STORE)
    fresh = FreshVectors(objects, "things", "cd" * 32, "v9", 2, most_rows=3, seconds=60, clock=lambda: now[0])

    def put(*names: str) -> int:
        fresh.put(pa.array(names), np.arange(len(names), dtype=np.uint64), np.ones((len(names), 2), np.float32))
        fresh.commit_if_due()
        entry = newest_entry(objects, "things", "cd" * 32)
        return 0 if entry is None else entry.rows

    assert [put("a"), put("b"), put("c")] == [0, 0, 3]
    now[0] = 50
    assert put("d") == 3
    now[0] = 109
    assert put("e") == 3
    now[0] = 110
    assert put("f") == 6
    assert (fresh.waiting, fresh.added) == (0, 6)


def test_threads_may_share_it(skipfill: Skipfill, service: Service, queries: np.ndarray) -> None:
    swap_to_reranking(skipfill)
    expected = [service.answer(query) for query in queries]
    service.served.close()
    with released(STORE, "things", fetch=service.items) as served:
        reranker = served.reranker
        assert reranker is not None
        reranker.fresh.most_rows = 7  # committed many times
        wrong: list[object] = []

        def ask() -> None:
            for query, answer in zip(queries, expected, strict=True):
                ids = sorted(answer)
                again = served.rerank(query, ids).ids
                if sorted(again) != ids or again != served.rerank(query, answer).ids:
                    wrong.append(again)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert overlay_of().rows == len({one for answer in expected for one in answer})
