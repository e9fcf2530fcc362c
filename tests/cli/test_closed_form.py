"""`skipfill train` with closed-form methods, on files as users have them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import scipy.linalg
import scipy.stats
from numpy.typing import NDArray

from skipfill.compat.methods.registry import ADAPTERS
from tests.compat.encoders.samples import bert
from tests.conftest import Skipfill, World, write_vectors

Array = NDArray[np.float64]
NEW, OLD, ROWS = 24, 16, 700


def two_views(dim_new: int = NEW, dim_old: int = OLD, rows: int = ROWS, noise: float = 0.3) -> tuple[Array, Array]:
    """Noisy views of the same hidden vectors."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(rows, 10))
    new, old = (
        hidden @ random.normal(size=(10, dim)) + noise * random.normal(size=(rows, dim)) for dim in (dim_new, dim_old)
    )
    return new, old


def ids_of(rows: int) -> Array:
    return np.array([f"r{row:05d}" for row in range(rows)])


@pytest.fixture
def gallery(skipfill: Skipfill) -> tuple[Array, Array]:
    """Gallery `things` of 700 rows by `old`, the last 100 of which are held out, and pairs of the others."""
    new, old = two_views()
    labels = [f"c{np.argmax(row[:4])}" for row in old]
    write_vectors(Path("gallery.parquet"), old, labels=labels)
    write_vectors(Path("pairs.parquet"), new[:600])
    write_vectors(Path("heldout.parquet"), new[600:], ids_of(ROWS)[600:], labels[600:])
    skipfill("init")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "old", "--label", "label")
    return new, old


def train(skipfill: Skipfill, *arguments: object, **how: Any) -> Any:
    return skipfill("train", "v2", "--gallery", "things", "--json", *arguments, **how)


@pytest.mark.parametrize("method", ["procrustes", "relative", "ridge", "low-rank", "lambda-orthogonal", "auto"])
def test_a_map_brings_queries_into_the_old_space(skipfill: Skipfill, gallery: tuple[Array, Array], method: str) -> None:
    """By the same commands as every other model, without labels except where the method needs them."""
    document = train(skipfill, "--items", "pairs.parquet", "--method", method).document["model"]
    assert document["method"] in ({method} if method != "auto" else ADAPTERS.keys() - {"auto"})
    assert document["dim"] == NEW
    assert document["views"] == {"v2": {"dim": NEW, "kind": "prefix"}, "old": {"dim": OLD, "kind": "linear"}}
    assert (document["trained_items"], document["training"]["wrong_pairs"]) == (600, 0)
    assert document["training"]["reciprocal_rank"] > 0.3
    assert document["training"]["right_class"] > 0.3  # the gallery has labels
    skipfill("encode", "v2", "heldout.parquet", "-o", "mapped.parquet", "--onto", "old")
    mapped = np.stack(pq.read_table("mapped.parquet")["vector"].to_pylist())
    assert mapped.shape == (100, OLD)
    old = gallery[1][600:] / np.linalg.norm(gallery[1][600:], axis=1, keepdims=True)
    assert np.median((mapped * old).sum(axis=1)) > 0.5


def test_a_map_is_checked_swapped_searched_and_rolled_back(skipfill: Skipfill, gallery: tuple[Array, Array]) -> None:
    train(skipfill, "--items", "pairs.parquet", "--method", "auto")
    skipfill("policy", "things", "--not-worse", "--margin", 0.3, "--least-queries", 20)
    assert skipfill("check", "things", "v2", "--items", "heldout.parquet", "--json").document["verdict"] == "pass"
    skipfill("swap", "things", "v2")
    hits = skipfill("search", "things", "--items", "heldout.parquet", "-k", 3, "--json").document
    assert (hits["model"], len(hits["hits"])) == ("v2", 300)
    skipfill("rollback", "things")


def test_a_map_reaches_the_prefixes_of_the_gallerys_space(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--method", "bct", "--epochs", 1)
    skipfill("encode", "v2", registered.gallery_items, "-o", "newer.parquet")
    skipfill("gallery", "add", "newer", "newer.parquet", "--space", "v2")
    items = ("--items", registered.gallery_items, "--encoder", "vectors")
    skipfill("train", "v3", "--gallery", "newer", *items, "--method", "ridge")
    found = {}
    for space in ("v1", "v2"):
        skipfill("encode", "v3", registered.heldout, "-o", f"{space}.parquet", "--onto", space)
        found[space] = np.stack(pq.read_table(f"{space}.parquet")["vector"].to_pylist())
    prefix = found["v2"][:, : found["v1"].shape[1]]
    np.testing.assert_allclose(found["v1"], prefix / np.linalg.norm(prefix, axis=1, keepdims=True), atol=1e-6)


def test_a_rotated_copy_is_recovered_exactly(skipfill: Skipfill) -> None:
    """From twice as many pairs as it has dimensions."""
    random = np.random.default_rng(1)
    old = random.normal(size=(400, 24)).astype(np.float32)
    old /= np.linalg.norm(old, axis=1, keepdims=True)
    rotation = scipy.stats.ortho_group.rvs(24, random_state=2)
    new = old @ rotation
    write_vectors(Path("gallery.parquet"), old)
    write_vectors(Path("pairs.parquet"), new[:48])
    write_vectors(Path("queries.parquet"), new)
    skipfill("init")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "old")
    train(skipfill, "--items", "pairs.parquet", "--method", "procrustes")
    skipfill("encode", "v2", "queries.parquet", "-o", "mapped.parquet", "--onto", "old")
    mapped = np.stack(pq.read_table("mapped.parquet")["vector"].to_pylist())
    np.testing.assert_allclose(mapped, old, atol=1e-6)
    assert ((mapped @ old.T).argmax(axis=1) == np.arange(400)).all()


def test_the_order_of_the_pairs_does_not_matter(skipfill: Skipfill, gallery: tuple[Array, Array]) -> None:
    """In the gallery's order they stream by; in another one they are taken from a temporary file."""
    shuffled = np.random.default_rng(5).permutation(600)
    write_vectors(Path("shuffled.parquet"), gallery[0][shuffled], ids_of(ROWS)[shuffled])
    found = []
    for items in ("pairs.parquet", "shuffled.parquet"):
        train(skipfill, "--items", items, "--method", "procrustes")
        skipfill("encode", "v2", "heldout.parquet", "-o", f"of-{items}", "--onto", "old")
        found.append(np.stack(pq.read_table(f"of-{items}")["vector"].to_pylist()))
        shutil.rmtree(".skipfill/models/v2")
        for space in Path(".skipfill/spaces").glob("v2*"):
            space.unlink()
    np.testing.assert_allclose(*found, atol=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_wrong_pairs_are_found_reported_and_left_out(
    skipfill: Skipfill, gallery: tuple[Array, Array], share: float
) -> None:
    new = gallery[0][:600].copy()
    wrong = np.random.default_rng(6).permutation(600)[: int(600 * share)]
    new[wrong] = new[np.roll(wrong, 1)]
    write_vectors(Path("mixed.parquet"), new)
    training = train(skipfill, "--items", "mixed.parquet", "--method", "procrustes").document["model"]["training"]
    assert abs(training["wrong_pairs"] - len(wrong)) <= 0.5 * len(wrong)
    assert training["pairs"] == 600 - training["wrong_pairs"]
    assert set(training["wrong_ids"]) <= {f"r{row:05d}" for row in wrong}
    shown = skipfill("train", "v3", "--gallery", "things", "--items", "mixed.parquet", "--method", "procrustes")
    assert f"Left out {training['wrong_pairs']} pairs" in shown.out


def test_held_out_queries_are_neither_pairs_nor_trained_on(skipfill: Skipfill, gallery: tuple[Array, Array]) -> None:
    write_vectors(Path("all.parquet"), gallery[0])
    hold_out = ("--items", "all.parquet", "--hold-out", "heldout.parquet")
    assert train(skipfill, *hold_out, "--method", "ridge").document["model"]["trained_items"] == 600
    found = skipfill("check", "things", "v2", "--items", "heldout.parquet", "--json", "--no-save", expect=None)
    assert found.code in (0, 1, 3)
    # The same vectors under other ids were trained on: they are not queries.
    write_vectors(Path("copies.parquet"), gallery[0][:50], [f"copy{row}" for row in range(50)], ["c0"] * 50)
    table = pq.read_table("copies.parquet")
    halves = table["vector"].cast(pa.list_(pa.float16(), NEW))
    pq.write_table(table.set_column(table.column_names.index("vector"), "vector", halves), "halves.parquet")
    for copies in ("copies.parquet", "halves.parquet"):
        left = skipfill("check", "things", "v2", "--items", copies, "--no-save", expect=2)
        assert "trained" in left.err


def test_few_pairs_are_refused_or_answered_by_a_map_that_bears_them(
    skipfill: Skipfill, gallery: tuple[Array, Array]
) -> None:
    write_vectors(Path("few.parquet"), gallery[0][:31])
    write_vectors(Path("some.parquet"), gallery[0][:40])
    for method in ("procrustes", "auto"):
        found = train(skipfill, "--items", "few.parquet", "--method", method, expect=2)
        assert "expected at least 32 pairs" in found.err
        assert "found 31" in found.err
    document = train(skipfill, "--items", "some.parquet", "--method", "auto").document["model"]
    assert document["training"]["not_tried"]["residual"] == "needs 10,000 pairs"


WRONG_INPUT: dict[str, tuple[tuple[object, ...], str]] = {
    "no overlap": (("--items", "strangers.parquet"), "expected ids that gallery things has, found none of 600"),
    "constant": (("--items", "constant.parquet"), "expected vectors that differ from item to item, found one vector"),
    "NULL": (("--items", "null.parquet"), "null.parquet, column vector, row 3: expected a vector, found NULL"),
    "ragged": (("--items", "ragged.parquet"), "row 5: expected 24 numbers, as in the other rows, found 5"),
    "two dimensions": (("--items", "pairs.parquet", "--items", "narrow.parquet"), "found dimension 9"),
    "zero": (("--items", "zero.parquet"), "found a zero vector for item 'r00007'"),
    "integers": (("--items", "integers.parquet"), "expected ids of type string"),
    "epochs": (("--items", "pairs.parquet", "--epochs", 3), "--epochs: expected a method that uses it"),
    "lr": (("--items", "pairs.parquet", "--lr", 0.1), "--lr: expected a method that uses it"),
    "batch": (("--items", "pairs.parquet", "--batch", 8), "--batch: expected"),
    "align": (("--items", "pairs.parquet", "--align", "pairs.parquet"), "--align: expected"),
    "restart": (("--items", "pairs.parquet", "--restart"), "--restart: expected a method that is trained in epochs"),
    "log": (("--items", "pairs.parquet", "--log", "log"), "--log: expected a method that is trained in epochs"),
    "encoder": (("--items", "pairs.parquet", "--encoder", "mlp"), "expected an encoder that is trained already"),
    "settings": (("--items", "pairs.parquet", "--set", "ridge.penalty=1"), "this training uses: procrustes, vectors"),
}


@pytest.mark.parametrize("name", WRONG_INPUT)
def test_wrong_input_has_one_clear_message(skipfill: Skipfill, gallery: tuple[Array, Array], name: str) -> None:
    new = gallery[0][:600].astype(np.float32)
    lists: list[Any] = new.tolist()
    write_vectors(Path("strangers.parquet"), new, [f"s{row}" for row in range(600)])
    write_vectors(Path("constant.parquet"), np.ones((600, NEW)))
    write_vectors(Path("narrow.parquet"), new[:5, :9], [f"n{row}" for row in range(5)])
    write_vectors(Path("integers.parquet"), new, np.arange(600))
    write_vectors(Path("zero.parquet"), np.where(np.arange(600)[:, None] == 7, 0, new))
    for file, row, value in (("null", 3, None), ("ragged", 5, [0.0] * 5)):
        column = pa.array([*lists[:row], value, *lists[row + 1 :]], pa.list_(pa.float32()))
        pq.write_table(pa.table({"id": ids_of(600).tolist(), "vector": column}), f"{file}.parquet")
    arguments, expected = WRONG_INPUT[name]
    found = train(skipfill, *arguments, "--method", "procrustes", expect=2)
    assert expected in found.err
    assert len(found.err.strip().splitlines()) == 1
    assert not Path(".skipfill/models").exists()


def test_a_gallery_of_one_vector_is_refused(skipfill: Skipfill) -> None:
    write_vectors(Path("gallery.parquet"), np.ones((100, 8)))
    write_vectors(Path("pairs.parquet"), np.random.default_rng(0).normal(size=(100, 8)))
    skipfill("init")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "old")
    found = train(skipfill, "--items", "pairs.parquet", "--method", "procrustes", expect=2)
    assert (
        "gallery things: expected vectors that differ from item to item, found one vector for all 100 pairs"
        in found.err
    )


def test_lambda_orthogonal_needs_labels(skipfill: Skipfill) -> None:
    new, old = two_views()
    write_vectors(Path("gallery.parquet"), old)
    write_vectors(Path("pairs.parquet"), new)
    skipfill("init")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "old")
    found = train(skipfill, "--items", "pairs.parquet", "--method", "lambda-orthogonal", expect=2)
    assert "expected labels of items or rows, which lambda-orthogonal needs, found none" in found.err
    assert (
        "right_class"
        not in train(skipfill, "--items", "pairs.parquet", "--method", "auto").document["model"]["training"]
    )


def test_unrelated_spaces_are_said_to_be(skipfill: Skipfill, gallery: tuple[Array, Array]) -> None:
    write_vectors(Path("noise.parquet"), np.random.default_rng(8).normal(size=(600, NEW)))
    shown = skipfill("train", "v2", "--gallery", "things", "--items", "noise.parquet", "--method", "procrustes")
    assert "The two spaces have almost nothing in common" in shown.out
    pairs = pq.read_table("noise.parquet")
    assert pc.count(pairs["id"]).as_py() == 600


def test_pairs_beyond_the_sample_are_judged_too(
    skipfill: Skipfill, gallery: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a second pass, in the gallery's order and in another one. The map is nearly that of the right pairs alone."""
    monkeypatch.setattr("skipfill.compat.training.adapters.collect.SAMPLE_BYTES", 300 * 4 * (NEW + OLD))
    new = gallery[0][:600].copy()
    wrong = np.random.default_rng(6).permutation(600)[:30]
    new[wrong] = new[np.roll(wrong, 1)]
    shuffled = np.random.default_rng(5).permutation(600)
    write_vectors(Path("mixed.parquet"), new)
    write_vectors(Path("shuffled.parquet"), new[shuffled], ids_of(ROWS)[shuffled])
    right = np.setdiff1d(np.arange(600), wrong)
    for name, items in (("v2", "mixed.parquet"), ("v3", "shuffled.parquet")):
        made = skipfill("train", name, "--gallery", "things", "--items", items, "--method", "procrustes", "--json")
        training = made.document["model"]["training"]
        assert abs(training["wrong_pairs"] - 30) <= 10
        assert training["pairs"] == 600 - training["wrong_pairs"]
        assert set(training["wrong_ids"]) <= {f"r{row:05d}" for row in wrong}
        skipfill("encode", name, "heldout.parquet", "-o", f"{name}.parquet", "--onto", "old")
        mapped = np.stack(pq.read_table(f"{name}.parquet")["vector"].to_pylist())
        apart = {
            part: np.abs(mapped - rotated(new, gallery, rows)).max()
            for part, rows in (("right", right), ("all", np.arange(600)))
        }
        assert apart["right"] < apart["all"] / 2


def rotated(new: Array, gallery: tuple[Array, Array], rows: NDArray[np.int64]) -> Array:
    """The held-out rows by scipy's rotation of some pairs."""
    u, v = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (new[rows], gallery[1][rows]))
    mean_new, mean_old = u.mean(axis=0), v.mean(axis=0)
    padded = np.pad(v - mean_old, ((0, 0), (0, NEW - OLD)))
    rotation = scipy.linalg.orthogonal_procrustes(u - mean_new, padded)[0][:, :OLD]
    queries = gallery[0][600:] / np.linalg.norm(gallery[0][600:], axis=1, keepdims=True)
    mapped = (queries - mean_new) @ rotation + mean_old
    return mapped / np.linalg.norm(mapped, axis=1, keepdims=True)


def test_an_encoder_of_random_weights_is_refused(skipfill: Skipfill, gallery: tuple[Array, Array]) -> None:
    """A folder with a config and no weights begins at random; with weights it is taken."""
    folder = Path(bert(Path()))
    texts = [" ".join("abcdefgh"[digit % 8] for digit in divmod(row, 26)) for row in range(600)]
    pq.write_table(pa.table({"id": ids_of(600).tolist(), "text": texts}), "texts.parquet")
    fit = ("--items", "texts.parquet", "--method", "ridge", "--encoder", f"hf:{folder}")
    train(skipfill, *fit)
    (folder / "model.safetensors").unlink()
    found = skipfill("train", "v3", "--gallery", "things", *fit, expect=2)
    assert "expected an encoder that is trained already, found a config without weights" in found.err
    assert "--input COLUMN" in found.err
