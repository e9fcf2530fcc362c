"""Effects of an HNSW index on new queries: against faiss used directly, and against slow references."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from skipfill.cli.error_messages import sentence
from skipfill.cli.terminal.next_command import install_command
from skipfill.compat.evaluation.index.local_dimension import local_dimension
from skipfill.compat.evaluation.index.recall import IndexRecall, index_warnings, measure_index
from skipfill.compat.evaluation.index.rows import read_indexed
from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.progress import Progress
from skipfill.store.checks.report import Interval
from skipfill.store.errors import BadInput
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.parquet.vectors import Similarity
from tests.conftest import write_vectors

# Few links and little effort: recall is well below 1 on a few thousand rows.
SETTINGS = IndexSettings(neighbours=4, ef_construction=20, ef_search=12, queries=150, batch=700)
ROWS, DIM = 4_000, 24


def opened(path: Path, label: str = "") -> StoredRows:
    return StoredRows.open([path], Columns(label=label), None)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


CENTRES = np.random.default_rng(1).normal(size=(200, DIM))


def around(random: np.random.Generator, count: int, at: int) -> np.ndarray:
    """(count, DIM) float32 of differing norms, around the mean of `at` random centres: 1 is where rows are."""
    middle = CENTRES[random.integers(0, len(CENTRES), (count, at))].mean(axis=1)
    return (middle + 0.3 * random.normal(size=(count, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredRows, np.ndarray]:
    random = np.random.default_rng(0)
    vectors = around(random, ROWS, at=1)
    labels = [f"c{number % 9}" for number in range(ROWS)]
    path = write_vectors(tmp_path_factory.mktemp("index") / "g.parquet", vectors, np.arange(ROWS), labels)
    return opened(path, "label"), vectors


@pytest.fixture(scope="module")
def queries() -> tuple[np.ndarray, np.ndarray]:
    """Old queries are where the rows are, new ones between them."""
    random = np.random.default_rng(2)
    return around(random, 150, at=1), around(random, 150, at=3)


def built(vectors: np.ndarray, order: np.ndarray, settings: IndexSettings = SETTINGS) -> faiss.IndexHNSWFlat:
    """The same index by faiss alone."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], settings.neighbours, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.ef_construction
    for start in range(0, len(order), settings.batch):
        index.add(np.ascontiguousarray(vectors[order[start : start + settings.batch]]))
    return index


def direct_recall(index: faiss.IndexHNSWFlat, vectors: np.ndarray, queries: np.ndarray, effort: int, k: int) -> float:
    """Recall by the numbers of the rows, the exact ones from float64 products."""
    index.hnsw.efSearch = effort
    _, found = index.search(queries, k)
    exact = np.argsort(-(queries.astype(np.float64) @ vectors.T.astype(np.float64)), axis=1)[:, :k]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_recall_is_that_of_faiss(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray], metric: Similarity
) -> None:
    rows, vectors = stored
    old, new = queries
    found = measure_index(rows, metric, old, new, SETTINGS, Progress())
    if metric == "cosine":
        vectors, old, new = unit(vectors), unit(old), unit(new)
    index = built(vectors, np.arange(ROWS))
    for side, asked in (("old", old), ("new", new)):
        assert found.recall[side].mean == pytest.approx(direct_recall(index, vectors, asked, 12, 10), abs=1e-12)
        for effort in found.efforts:
            assert asdict(effort)[side] == pytest.approx(
                direct_recall(index, vectors, asked, effort.ef_search, 10), abs=1e-12
            )
    assert [effort.ef_search for effort in found.efforts] == [16, 32, 64, 128, 256, 512]
    assert 0.3 < found.recall["new"].mean < found.recall["old"].mean < 0.995
    assert found.change.mean == pytest.approx(found.recall["new"].mean - found.recall["old"].mean)
    assert found.change.low < found.change.mean < found.change.high
    assert (found.rows, found.gallery_rows, found.queries, found.k) == (ROWS, ROWS, 150, 10)
    assert json.loads(json.dumps(asdict(found), allow_nan=False)) == asdict(found)


def test_the_effort_advised_restores_the_recall(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, vectors = stored
    found = measure_index(rows, "cosine", *queries, SETTINGS, Progress())
    index = built(unit(vectors), np.arange(ROWS))
    old = direct_recall(index, unit(vectors), unit(queries[0]), SETTINGS.ef_search, 10)
    assert found.effort_needed is not None
    assert found.effort_needed > SETTINGS.ef_search
    assert direct_recall(index, unit(vectors), unit(queries[1]), found.effort_needed, 10) >= old
    assert direct_recall(index, unit(vectors), unit(queries[1]), found.effort_needed - 1, 10) < old


def test_queries_out_of_the_distribution_are_warned_of(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, _ = stored
    old, new = queries
    found = measure_index(rows, "cosine", old, new, SETTINGS, Progress())
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("new queries lie outside the index's distribution: recall@10 ")
    assert "local dimension" in found.warnings[0]
    assert found.warnings[0].endswith(f"set efSearch to {found.effort_needed}")
    assert found.dimension_ratio is not None
    assert found.dimension_ratio.low > 1.5
    other = around(np.random.default_rng(5), 150, at=1)
    assert measure_index(rows, "cosine", old, other, SETTINGS, Progress()).warnings == []
    same = measure_index(rows, "cosine", old, old, SETTINGS, Progress())
    assert same.warnings == []
    assert same.change == Interval(0, 0, 0)
    assert same.effort_needed is not None
    assert same.effort_needed <= SETTINGS.ef_search


def test_what_is_warned_of(stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]) -> None:
    found = measure_index(stored[0], "cosine", queries[0], queries[0], SETTINGS, Progress())

    def warned(change: tuple[float, float], **changes: object) -> list[str]:
        fields: dict[str, object] = {"change": Interval(sum(change) / 2, *change), **changes}
        return index_warnings(replace(found, **fields))  # type: ignore[arg-type]

    assert warned((-0.03, -0.011), effort_needed=99)[0].endswith("set efSearch to 99")
    assert warned((-0.03, -0.011), effort_needed=None)[0].endswith("no efSearch up to 4000 brings the old recall back")
    assert "on a sample of 4,000 rows" in warned((-0.03, -0.011), effort_needed=99, gallery_rows=1_000_000)[0]
    assert warned((-0.03, -0.009)) == []
    assert warned((0, 0), dimension_ratio=Interval(1.6, 1.51, 1.7))[0].endswith(
        "efSearch 12 still gives the old recall"
    )
    assert warned((0, 0), dimension_ratio=Interval(1.6, 1.49, 1.7)) == []
    assert "too few" in warned((-0.03, -0.02), queries=29)[0]


def test_sometimes_no_effort_is_enough(tmp_path: Path) -> None:
    """Tight clumps far from each other and the fewest links: no way leads to parts of the second."""
    random = np.random.default_rng(0)

    def clump(end: int, count: int) -> np.ndarray:
        return (np.eye(8)[[end] * count] + 1e-3 * random.normal(size=(count, 8))).astype(np.float32)

    vectors = np.concatenate([clump(end, 800) for end in range(8)])
    rows = opened(write_vectors(tmp_path / "g.parquet", vectors))
    settings = replace(SETTINGS, neighbours=2, ef_construction=2, ef_search=64)
    old, new = clump(2, 40), clump(1, 40)
    found = measure_index(rows, "cosine", old, new, settings, Progress())
    assert (found.effort_needed, found.most_effort) == (None, 4_096)
    assert "no efSearch up to 4096" in found.warnings[0]
    index = built(unit(vectors), np.arange(len(vectors)), settings)
    assert direct_recall(index, unit(vectors), unit(new), 4_096, 10) < found.recall["old"].mean


@pytest.mark.parametrize("order", ["stored", "shuffled", "by-label"])
def test_the_order_of_insertion(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray], order: str
) -> None:
    rows, vectors = stored
    settings = replace(SETTINGS, order=order)
    found = measure_index(rows, "cosine", *queries, settings, Progress())
    inserted = read_indexed(rows, "cosine", settings, None, Progress()).order
    expected = {
        "stored": list(range(ROWS)),
        "by-label": sorted(range(ROWS), key=lambda row: (row % 9, row)),
        "shuffled": inserted.tolist(),
    }[order]
    assert inserted.tolist() == expected
    assert sorted(inserted.tolist()) == list(range(ROWS))
    index = built(unit(vectors), np.array(expected))
    index.hnsw.efSearch = 12
    scores = index.search(unit(queries[1]), 10)[0]
    exact = np.sort(unit(queries[1]) @ unit(vectors).T, axis=1)[:, -10]
    assert found.recall["new"].mean == pytest.approx((scores >= exact[:, None] - 1e-6).mean(), abs=1e-12)


def test_shuffling_depends_on_the_seed_only(stored: tuple[StoredRows, np.ndarray]) -> None:
    shuffled = replace(SETTINGS, order="shuffled")
    one, two, other = (
        read_indexed(stored[0], "ip", replace(shuffled, seed=seed), None, Progress()).order for seed in (0, 0, 1)
    )
    assert one.tolist() == two.tolist()
    assert one.tolist() != other.tolist()


def test_rows_without_a_label_are_inserted_last(tmp_path: Path) -> None:
    path = write_vectors(tmp_path / "g.parquet", np.eye(5), labels=["b", None, "a", "b", "a"])
    assert read_indexed(
        opened(path, "label"), "ip", replace(SETTINGS, order="by-label"), None, Progress()
    ).order.tolist() == [2, 4, 0, 3, 1]


def test_the_same_seed_gives_the_same_numbers(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    """Also when faiss may use several threads, which it may again afterwards."""
    faiss.omp_set_num_threads(2)
    settings = replace(SETTINGS, rows=3_000, queries=100, order="shuffled")
    found = [measure_index(stored[0], "cosine", *queries, settings, Progress()) for _ in range(2)]
    assert faiss.omp_get_max_threads() == 2
    faiss.omp_set_num_threads(1)
    assert found[0] == found[1]
    assert measure_index(stored[0], "cosine", *queries, settings, Progress()) == found[0]
    assert measure_index(stored[0], "cosine", *queries, replace(settings, seed=1), Progress()) != found[0]


def test_duplicates_do_not_count_against_the_index(tmp_path: Path) -> None:
    """30 copies of each of 100 vectors: which of the copies is returned says nothing."""
    random = np.random.default_rng(0)
    distinct = random.normal(size=(100, 16)).astype(np.float32)
    rows = opened(write_vectors(tmp_path / "g.parquet", np.tile(distinct, (30, 1))))
    asked = distinct + 0.01 * random.normal(size=(100, 16)).astype(np.float32)
    settings = IndexSettings(ef_search=400, order="shuffled")
    found = measure_index(rows, "cosine", asked, asked, settings, Progress())
    assert found.recall["old"].mean == 1
    # By the numbers of the rows it would: 10 of the 30 copies are exact only by their position.
    index = built(unit(np.tile(distinct, (30, 1))), np.arange(3_000), settings)
    assert direct_recall(index, unit(np.tile(distinct, (30, 1))), unit(asked), 400, 10) < 0.9
    assert found.warnings == []


def test_a_larger_gallery_is_sampled_uniformly(stored: tuple[StoredRows, np.ndarray]) -> None:
    rows, vectors = stored
    firsts = np.zeros(ROWS)
    for seed in range(40):
        indexed = read_indexed(rows, "ip", replace(SETTINGS, rows=500, seed=seed), None, Progress())
        assert indexed.vectors.shape == (500, DIM)
        firsts[np.isin(vectors[:, 0], indexed.vectors[:, 0])] += 1
    # 5 expected of each row, and of each of four quarters 5,000 in all, with a deviation of 60.
    assert np.abs(firsts.reshape(4, -1).sum(axis=1) - 5_000).max() < 300
    assert firsts.max() < 20


def test_the_sample_is_what_is_measured(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    rows, _ = stored
    settings = replace(SETTINGS, rows=1_500, queries=60)
    found = measure_index(rows, "cosine", *queries, settings, Progress())
    assert (found.rows, found.gallery_rows, found.queries, found.given_queries) == (1_500, ROWS, 60, 150)
    vectors = read_indexed(rows, "cosine", settings, None, Progress()).vectors
    drawn = np.sort(np.random.default_rng(0).choice(150, 60, replace=False))
    index = built(vectors, np.arange(1_500))
    direct = direct_recall(index, vectors, unit(queries[1][drawn]), 12, 10)
    assert found.recall["new"].mean == pytest.approx(direct, abs=1e-12)
    assert found.dimension_neighbours == 75


def test_a_query_that_is_a_row_does_not_find_itself(stored: tuple[StoredRows, np.ndarray]) -> None:
    rows, vectors = stored
    some = np.arange(0, ROWS, 20)
    ids = pa.array(some)
    settings = replace(SETTINGS, queries=100)
    found = measure_index(rows, "ip", vectors[some], vectors[some], settings, Progress(), ids)
    assert (found.rows, found.queries) == (ROWS - 100, 100)
    drawn = some[np.sort(np.random.default_rng(0).choice(200, 100, replace=False))]
    kept = np.delete(vectors, drawn, axis=0)
    direct = direct_recall(built(kept, np.arange(len(kept))), kept, vectors[drawn], 12, 10)
    assert found.recall["old"].mean == pytest.approx(direct, abs=1e-12)
    everything = measure_index(
        rows, "ip", vectors, vectors, replace(settings, queries=ROWS), Progress(), pa.array(range(ROWS))
    )
    assert (everything.rows, everything.queries) == (3_000, 1_000)


def test_a_tiny_gallery(tmp_path: Path) -> None:
    rows = opened(write_vectors(tmp_path / "g.parquet", np.eye(4) + 0.1))
    asked = np.ones((40, 4), np.float32)
    found = measure_index(rows, "cosine", asked, asked, IndexSettings(), Progress())
    assert (found.k, found.recall["new"].mean, found.most_effort) == (4, 1.0, 64)
    assert found.dimension == {"old": None, "new": None}  # all rows equally near
    assert found.dimension_ratio is None
    assert json.dumps(asdict(found), allow_nan=False)


def slow_dimension(distances: list[float]) -> float:
    apart = [one for one in distances if one > 0]
    return 1 / (sum(np.log(apart[-1] / one) for one in apart[:-1]) / (len(apart) - 1))


def test_local_dimension_is_the_slow_one() -> None:
    random = np.random.default_rng(0)
    distances = np.sort(random.gamma(2, size=(30, 40)), axis=1)
    distances[::3, :7] = 0
    expected = [slow_dimension(row.tolist()) for row in distances]
    np.testing.assert_allclose(local_dimension(distances), expected, rtol=1e-12)


def test_local_dimension_at_its_limits() -> None:
    distances = np.array([[0, 0, 0, 0], [0, 0, 1, 2], [0, 1, 1, 1], [0, 1, 2, 4.0]])
    found = local_dimension(distances)
    assert np.isnan(found[:2]).all()
    assert found[2] == np.inf
    assert found[3] == pytest.approx(2 / np.log(8))


@pytest.mark.parametrize("dimension", [1, 2, 4, 8])
def test_local_dimension_of_data_of_known_dimension(tmp_path: Path, dimension: int) -> None:
    """Directions spread evenly over a sphere of that dimension, in 32 coordinates."""
    random = np.random.default_rng(dimension)
    turn = np.linalg.qr(random.normal(size=(32, 32)))[0][: dimension + 1]
    count = 1_500 if dimension == 1 else 6_000  # closer than float32 tells apart, otherwise
    rows = opened(write_vectors(tmp_path / "g.parquet", random.normal(size=(count, dimension + 1)) @ turn))
    asked = (random.normal(size=(200, dimension + 1)) @ turn).astype(np.float32)
    found = measure_index(rows, "cosine", asked, asked, replace(SETTINGS, neighbours=16), Progress())
    assert found.dimension_neighbours == min(100, count // 20)
    assert found.dimension["old"] == pytest.approx(dimension, rel=0.15)


def test_settings_out_of_range_are_refused(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    for name, value in {"neighbours": 1, "ef_search": 0, "k": 0, "order": "sorted", "queries": 0, "rows": 1}.items():
        with pytest.raises(BadInput, match=f"setting index.{name}: expected"):
            measure_index(stored[0], "cosine", *queries, replace(SETTINGS, **{name: value}), Progress())


def test_unusable_queries_are_refused(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    old, new = queries
    broken = new.copy()
    broken[7, 3] = np.nan
    for wrong in (new[:-1], new[:, :-1], broken, np.zeros_like(new)):
        with pytest.raises(BadInput, match="new query vectors"):
            measure_index(stored[0], "cosine", old, wrong, SETTINGS, Progress())
    with pytest.raises(BadInput, match="old query vectors"):
        measure_index(stored[0], "cosine", old[:0], new[:0], SETTINGS, Progress())


def test_by_label_needs_labels(tmp_path: Path) -> None:
    rows = opened(write_vectors(tmp_path / "g.parquet", np.eye(4)))
    with pytest.raises(BadInput, match="without a label column"):
        measure_index(
            rows, "ip", np.eye(4, dtype="f4"), np.eye(4, dtype="f4"), replace(SETTINGS, order="by-label"), Progress()
        )


def test_without_faiss_it_says_what_to_install(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    read: list[int] = []
    with pytest.raises(BadInput, match="expected faiss") as caught:
        measure_index(stored[0], "cosine", *queries, SETTINGS, Progress(advance=read.append))
    assert sentence(caught.value.hint) == f"Install it: {install_command('ann')}"
    assert read == []  # said before anything is read


def test_progress_reaches_its_total(
    stored: tuple[StoredRows, np.ndarray], queries: tuple[np.ndarray, np.ndarray]
) -> None:
    progress: dict[str, list[int]] = {}

    def start(what: str, total: int) -> None:
        progress[what] = [total, 0]

    def advance(count: int) -> None:
        list(progress.values())[-1][1] += count

    found: IndexRecall = measure_index(stored[0], "cosine", *queries, SETTINGS, Progress(start, advance))
    assert found.queries == 150
    assert [total == done for total, done in progress.values()][:4] == [True] * 4
    assert next(iter(progress.values())) == [ROWS, ROWS]
