"""`skipfill advise` on galleries of which it is known what is best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Skipfill

CLASSES, ROWS, QUERIES, DIM = 12, 360, 400, 16
NOISE = {"old": 0.8, "better": 0.35, "equal": 0.8, "unrelated": 0.0}


@dataclass(frozen=True)
class Gallery:
    """A gallery whose encoder is gone, and candidates that anybody can fit.

    Attributes:
        pairs, queries: candidate -> file with id, vector by its encoder, `old` by the old one, label.
    """

    pairs: dict[str, Path]
    queries: dict[str, Path]


def vectors(random: np.random.Generator, centres: np.ndarray, labels: np.ndarray, kind: str) -> np.ndarray:
    """Class centres with noise, turned; or noise alone."""
    if kind == "unrelated":
        return random.normal(size=(len(labels), DIM)).astype(np.float32)
    turn = np.eye(DIM) if kind == "old" else np.linalg.qr(np.random.default_rng(7).normal(size=(DIM, DIM)))[0]
    noise = NOISE[kind] * random.normal(size=(len(labels), DIM))
    return ((centres[labels] + noise) @ turn).astype(np.float32)


def write(path: Path, ids: list[str], labels: np.ndarray, **columns: np.ndarray) -> Path:
    table = {"id": pa.array(ids), "label": pa.array([f"class-{label}" for label in labels])}
    for name, values in columns.items():
        table[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), DIM)
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture
def gallery(skipfill: Skipfill, tmp_path: Path) -> Gallery:
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLASSES, DIM)) / 2
    of_rows, of_queries = (random.integers(0, CLASSES, count) for count in (ROWS, QUERIES))
    row_ids, query_ids = ([f"{name}{at:04d}" for at in range(count)] for name, count in (("r", ROWS), ("q", QUERIES)))
    old_rows, old_queries = (vectors(random, centres, labels, "old") for labels in (of_rows, of_queries))
    write(tmp_path / "stored.parquet", row_ids, of_rows, vector=old_rows)
    skipfill("init")
    skipfill("gallery", "add", "docs", "stored.parquet", "--space", "ada")
    pairs, queries = {}, {}
    for kind in ("better", "equal", "unrelated"):
        of = {name: vectors(random, centres, labels, kind) for name, labels in (("r", of_rows), ("q", of_queries))}
        pairs[kind] = write(tmp_path / f"{kind}-pairs.parquet", row_ids, of_rows, vector=of["r"], old=old_rows)
        queries[kind] = write(tmp_path / f"{kind}.parquet", query_ids, of_queries, vector=of["q"], old=old_queries)
        fit = ("--method", "procrustes", "--items", pairs[kind], "--input", "vector")
        skipfill("train", kind, "--gallery", "docs", *fit, "--quiet")
    return Gallery(pairs, queries)


def command(gallery: Gallery, kind: str) -> tuple[object, ...]:
    sources = ("--items", gallery.queries[kind], "--gallery-items", gallery.pairs[kind])
    return ("advise", "docs", "--candidate", kind, *sources, "--input", "vector", "--old-vector", "old")


def stored_files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_a_better_encoder_is_worth_it_and_nothing_is_written(
    skipfill: Skipfill, gallery: Gallery, tmp_path: Path
) -> None:
    before = stored_files(tmp_path)
    result = skipfill(*command(gallery, "better"), "--json", expect=0)
    assert stored_files(tmp_path) == before
    document = result.document
    advice = document["advice"]
    assert document["outcome"] == "change"
    assert advice["choosing"] + advice["reporting"] == QUERIES
    assert abs(advice["choosing"] - advice["reporting"]) <= 1
    kinds = [line["kind"] for line in advice["lines"]]
    assert kinds == ["stay", "view", "blend", "rerank", "rerank", "rerank", "reindex"]
    assert [line["k"] for line in advice["lines"][3:6]] == [10, 50, 200]
    assert "re-ranking 500: not measured, because the gallery has 360 rows" in advice["notes"][-1]
    chosen = advice["lines"][advice["recommended"]]
    assert chosen["verdict"] == "pass"
    assert chosen["change"]["low"] > 0
    assert chosen["name"] in advice["reason"]
    reindex = advice["lines"][kinds.index("reindex")]
    assert reindex["rows"] == ROWS
    assert reindex["seconds"] is None  # vectors come from an encoder that is not here
    assert [line["rows"] for line in advice["lines"][:3]] == [0, 0, 0]


def test_the_table_of_an_unrelated_encoder_says_stay(skipfill: Skipfill, gallery: Gallery) -> None:
    result = skipfill(*command(gallery, "unrelated"), expect=1)
    assert "Recommended: Stay with ada: " in result.out
    assert max(len(line) for line in result.out.splitlines() if line.startswith(("stay", "unrelated"))) <= 80
    assert "--weight" not in result.out  # there is no blend


def test_a_table_with_a_blend_says_how_to_make_it(skipfill: Skipfill, gallery: Gallery) -> None:
    """By --weight no check would know which queries chose it."""
    said = " ".join(skipfill(*command(gallery, "better"), expect=0).out.split())
    assert "use `skipfill blend --items chose.parquet` (from --halves)" in said
    assert "`--weight` remembers none" in said


def test_too_few_queries_do_not_tell(skipfill: Skipfill, gallery: Gallery, tmp_path: Path) -> None:
    some = pq.read_table(gallery.queries["equal"]).slice(0, 50)
    pq.write_table(some, tmp_path / "some.parquet")
    few = Gallery(gallery.pairs, {"equal": tmp_path / "some.parquet"})
    result = skipfill(*command(few, "equal"), "--json", expect=3)
    assert result.document["outcome"] == "undecided"
    assert result.document["advice"]["recommended"] is None
    assert "too few" in result.document["advice"]["reason"] or "does not pass" in result.document["advice"]["reason"]


def test_means_are_those_of_a_plain_search(skipfill: Skipfill, gallery: Gallery) -> None:
    """Beside numpy, with the halves taken from the function that makes them and all else made anew."""
    from skipfill.compat.advice.decision import choosing_half

    advice = skipfill(*command(gallery, "better"), "--json", expect=0).document["advice"]
    rows, queries = (pq.read_table(files["better"]) for files in (gallery.pairs, gallery.queries))
    of_rows, of_queries = (np.array(table.column("label").to_pylist()) for table in (rows, queries))
    reporting = ~choosing_half(np.arange(QUERIES), 0)

    def unit(table: pa.Table, column: str) -> np.ndarray:
        made = np.array(table.column(column).to_pylist())
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    def mean(of: np.ndarray, among: np.ndarray) -> float:
        return float((of_rows[(of @ among.T).argmax(axis=1)] == of_queries)[reporting].mean())

    skipfill(
        "encode", "better", gallery.queries["better"], "--input", "vector", "-o", "mapped.parquet", "--onto", "ada"
    )
    u, v, mapped = unit(rows, "vector"), unit(rows, "old"), unit(pq.read_table("mapped.parquet"), "vector")
    old = unit(queries, "old")
    found = {line["kind"]: line for line in advice["lines"]}
    weight = found["blend"]["weight"]
    expected = {
        "stay": mean(old, v),
        "view": mean(mapped, v),
        "blend": mean(weight * mapped + (1 - weight) * old, v),
        "reindex": mean(unit(queries, "vector"), u),
    }
    for line in advice["lines"]:
        if line["kind"] == "rerank":
            rows_by_old = np.argsort(-(old @ v.T), axis=1, kind="stable")[:, : line["k"]]
            scores = np.take_along_axis(unit(queries, "vector") @ u.T, rows_by_old, axis=1)
            first = np.take_along_axis(rows_by_old, scores.argmax(axis=1)[:, None], axis=1)[:, 0]
            right = (of_rows[first] == of_queries)[reporting].mean()
            assert line["quality"]["mean"] == pytest.approx(right, abs=1e-9)
            assert line["rows"] == len(np.unique(rows_by_old))
    for kind, value in expected.items():
        assert found[kind]["quality"]["mean"] == pytest.approx(value, abs=1e-9)
    assert found["view"]["change"]["mean"] == pytest.approx(expected["view"] - expected["stay"], abs=1e-9)


def test_without_an_old_encoder_and_vectors_there_is_no_blend(skipfill: Skipfill, gallery: Gallery) -> None:
    """Held-out rows have stored old vectors, but a query that is served has none."""
    half = pq.read_table(gallery.pairs["better"])
    pq.write_table(half.slice(0, 180), "fitted.parquet")
    fit = ("--method", "procrustes", "--items", "fitted.parquet", "--input", "vector")
    skipfill("train", "half", "--gallery", "docs", *fit, "--quiet")
    result = skipfill(
        *("advise", "docs", "--candidate", "half", "--items", gallery.pairs["better"], "--input", "vector", "--json"),
        expect=None,
    )
    advice = result.document["advice"]
    assert [line["kind"] for line in advice["lines"]] == ["stay", "view", "rerank", "rerank", "rerank", "reindex"]
    assert any("the old model is gone" in note for note in advice["notes"])
    assert advice["choosing"] + advice["reporting"] == 180  # those that it was fitted to are left out
    assert any("180 queries left out: model half was trained on them" in note for note in advice["notes"])


@pytest.mark.parametrize(
    ("candidates", "said"),
    [(["nobody"], "nobody"), (["better", "better"], "--candidate: expected each model once")],
    ids=["unknown", "twice"],
)
def test_candidates_are_refused(skipfill: Skipfill, gallery: Gallery, candidates: list[str], said: str) -> None:
    names = [word for name in candidates for word in ("--candidate", name)]
    result = skipfill("advise", "docs", *names, "--items", gallery.queries["better"], "--input", "vector", expect=2)
    assert said in result.err


def test_one_query_cannot_choose_and_report(skipfill: Skipfill, gallery: Gallery, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(gallery.queries["better"]).slice(0, 1), tmp_path / "one.parquet")
    one = Gallery(gallery.pairs, {"better": tmp_path / "one.parquet"})
    assert "expected at least two queries" in skipfill(*command(one, "better"), expect=2).err


@pytest.mark.parametrize("form", ["Parquet", "Arrow"])
def test_the_half_that_chose_is_no_evidence_for_the_blend(skipfill: Skipfill, gallery: Gallery, form: str) -> None:
    """The next commands take the files: `blend` chooses the same weight, and the check leaves its queries out."""
    if form == "Arrow":
        table = pq.read_table(gallery.queries["better"])
        with pa.OSFile("queries.arrow", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        gallery = replace(gallery, queries={**gallery.queries, "better": Path("queries.arrow")})
    advice = skipfill(*command(gallery, "better"), "--halves", "halves", "--json", expect=0).document["advice"]
    chose, check = (pq.read_table(f"halves/{name}.parquet") for name in ("chose", "check"))
    assert (len(chose), len(check)) == (advice["choosing"], advice["reporting"])
    assert not set(chose.column("id").to_pylist()) & set(check.column("id").to_pylist())
    columns = ("--input", "vector", "--old-vector", "old")
    skipfill("blend", "mixed", "--new", "better", "--old", "ada", "--items", "halves/chose.parquet", *columns)
    weight = skipfill("model", "show", "mixed", "--json").document["model"]["recipe"]["weight"]
    assert weight == next(line["weight"] for line in advice["lines"] if line["kind"] == "blend")
    sources = ("--items", gallery.queries["better"], "--gallery-items", gallery.pairs["better"])
    report = skipfill("check", "docs", "mixed", *sources, *columns, "--json", expect=None).document["check"]
    assert report["slices"][0]["queries"] == advice["reporting"]
    again = skipfill(*command(gallery, "better"), "--halves", "halves", expect=2)
    assert "expected a folder without chose.parquet and check.parquet, found chose.parquet" in again.err
