"""v1 -> v2 -> v3: each searches the galleries of all before it; class slots; replacement; the version matrix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.cli.commands.matrix import show_report
from skipfill.cli.terminal.printing import printer
from skipfill.compat.evaluation.sequences.matrix import SequenceReport
from skipfill.compat.evaluation.sequences.summaries import average_compatibility, average_multimodel, backward, forward
from skipfill.compat.inference.load import load_model
from skipfill.compat.training.class_slots import assigned_slots
from skipfill.store.errors import BadInput
from skipfill.store.spaces import Space
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World

STORE = Path(".skipfill")
SHORT = ("--epochs", 8, "--batch", 64, "--quiet")


def add_gallery(skipfill: Skipfill, world: World, model: str) -> None:
    skipfill("encode", model, world.gallery_items, "-o", f"g-{model}.parquet")
    skipfill("gallery", "add", f"g-{model}", f"g-{model}.parquet", "--space", model)


def card(skipfill: Skipfill, model: str) -> dict[str, object]:
    found: dict[str, object] = skipfill("model", "show", model, "--json").document["model"]
    return found


@pytest.fixture
def chain(skipfill: Skipfill, registered: World) -> World:
    """v1 -> v2 (bct) -> v3 (oca), each trained on the gallery of the one before; v2's bundle is deleted meanwhile."""
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--method", "bct", *SHORT)
    add_gallery(skipfill, registered, "v2")
    shutil.move(STORE / "models" / "v2", "v2-bundle")
    skipfill("train", "v3", "--items", registered.items, "--gallery", "g-v2", "--method", "oca", *SHORT)
    return registered


def test_the_third_model_searches_the_first_gallery(skipfill: Skipfill, chain: World) -> None:
    views = card(skipfill, "v3")["views"]
    assert isinstance(views, dict)
    assert {space: view["dim"] for space, view in views.items()} == {"v3": 8 + 32 + 32, "v2": 8 + 32, "v1": 8}
    checked = skipfill("check", "things", "v3", "--items", chain.known, "--json", expect=None).document["check"]
    cells = {(cell["pair"], cell["metric"]): cell["value"]["mean"] for cell in checked["slices"][0]["cells"]}
    assert cells["new/old", "CMC@1"] > 0.4  # chance is 1 in 12
    skipfill("swap", "things", "v3", "--without-check", "test")
    assert skipfill("search", "things", "--items", chain.heldout, "--json").document["model"] == "v3"


def test_spaces_written_before_they_had_views_and_slots(skipfill: Skipfill, chain: World) -> None:
    """The space's file knows less then; the model's card, while it is there, knows more."""
    path = STORE / "spaces" / "v2.json"
    known = json.loads(path.read_text())
    del known["views"], known["slots"]
    path.write_text(json.dumps(known))
    again = ("--items", chain.items, "--gallery", "g-v2", "--method", "bct", *SHORT)
    skipfill("train", "v4", *again)
    assert card(skipfill, "v4")["views"].keys() == {"v4", "v2"}  # type: ignore[attr-defined]
    shutil.move("v2-bundle", STORE / "models" / "v2")
    skipfill("train", "v5", *again)
    assert card(skipfill, "v5")["views"].keys() == {"v5", "v2", "v1"}  # type: ignore[attr-defined]
    skipfill("gallery", "add", "again", "g-v2.parquet", "--space", "v2")  # the same space, though its file knows less


def test_the_matrix_is_what_numpy_finds(skipfill: Skipfill, chain: World) -> None:
    shutil.move("v2-bundle", STORE / "models" / "v2")
    names, dims = ["v1", "v2", "v3"], [8, 40, 72]
    # Some queries are rows of the gallery too: those rows do not count for them.
    rows = pa.concat_tables([pq.read_table(chain.gallery_items), pq.read_table(chain.heldout).slice(0, 60)])
    pq.write_table(rows, "rows.parquet")
    sides = {"queries": chain.heldout, "gallery": Path("rows.parquet")}
    ids = {side: np.array(pq.read_table(file).column("id").to_pylist()) for side, file in sides.items()}
    labels = {side: np.array(pq.read_table(file).column("label").to_pylist()) for side, file in sides.items()}
    vectors: dict[tuple[str, str], np.ndarray] = {}
    for name in names:
        for side, file in sides.items():
            skipfill("encode", name, file, "-o", f"{name}-{side}.parquet")
            vectors[name, side] = np.array(pq.read_table(f"{name}-{side}.parquet").column("vector").to_pylist())
    expected = np.zeros((3, 3))
    for row, name in enumerate(names):
        for column in range(row + 1):
            view = vectors[name, "queries"][:, : dims[column]]
            scores = view @ vectors[names[column], "gallery"].T
            scores[ids["queries"][:, None] == ids["gallery"][None, :]] = -np.inf
            nearest = labels["gallery"][scores.argmax(axis=1)]
            expected[row, column] = (nearest == labels["queries"]).mean()
    found = skipfill("matrix", *names, "--items", chain.heldout, "--gallery-items", "rows.parquet", "--json").document
    assert (found["schema_version"], found["exit_code"]) == (1, 0)
    assert (found["matrix"]["queries"], found["matrix"]["gallery_rows"]) == (192, 384 + 60)
    for row, cells in enumerate(found["matrix"]["matrices"]["CMC@1"]):
        assert cells == pytest.approx(expected[row, : row + 1].tolist())
    summary = found["matrix"]["summary"]["CMC@1"]
    below = [(1, 0), (2, 0), (2, 1)]
    assert summary["AC"] == pytest.approx(sum(expected[i, j] >= expected[j, j] for i, j in below) / 3)
    assert summary["AM"] == pytest.approx(sum(expected[i, j] for i in range(3) for j in range(i + 1)) / 6)


def test_a_blend_searches_the_gallery_of_its_old_encoder(skipfill: Skipfill, with_v2: World) -> None:
    """With the old encoder that it holds; where queries need the old vectors, there is no matrix."""
    skipfill("blend", "mixed", "--new", "v2", "--old", "v1", "--weight", 0.5)
    sources = ("--items", with_v2.heldout, "--gallery-items", with_v2.gallery_items)
    cells = skipfill("matrix", "v1", "mixed", *sources, "--json").document["matrix"]["matrices"]["CMC@1"]
    skipfill("encode", "mixed", with_v2.heldout, "--onto", "v1", "-o", "mixed.parquet")
    queries, rows = pq.read_table("mixed.parquet"), pq.read_table("gallery.parquet")
    scores = np.stack(queries["vector"].to_pylist()) @ np.stack(rows["vector"].to_pylist()).T
    nearest = np.array(rows["label"].to_pylist())[scores.argmax(axis=1)]
    assert cells[1][0] == pytest.approx((nearest == np.array(queries["label"].to_pylist())).mean())
    skipfill("blend", "brought", "--new", "v2", "--old", "v1", "--weight", 0.5, "--old-vector", "old")
    refused = skipfill("matrix", "v1", "brought", *sources, expect=2).err
    assert "a blend without its old encoder, whose queries need the old vectors" in refused
    assert "skipfill check GALLERY brought --items FILES --old-vector COLUMN" in refused


def test_templates_are_the_means_of_their_classes(skipfill: Skipfill, registered: World) -> None:
    """By numpy, class after class; of queries that are gallery items there is none."""
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--method", "bct", *SHORT)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in ("v1", "v2"):
        for side, file in (("rows", registered.gallery_items), ("asked", registered.heldout)):
            skipfill("encode", name, file, "-o", f"{name}-{side}.parquet")
            table = pq.read_table(f"{name}-{side}.parquet")
            found[f"{name}-{side}"] = np.array(table["vector"].to_pylist()), np.array(table["label"].to_pylist())
    vectors, labels = found["v1-rows"]
    classes = sorted(set(labels))
    means = np.array([vectors[labels == one].mean(axis=0) for one in classes])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    sources = ("--items", registered.heldout, "--gallery-items", registered.gallery_items)
    matrix = skipfill("matrix", "v1", "v2", *sources, "--templates", "--json").document["matrix"]
    assert matrix["gallery_rows"] == len(classes) == 12
    for row, name in enumerate(("v1", "v2")):
        asked, wanted = found[f"{name}-asked"]
        nearest = np.array(classes)[(asked[:, :8] @ means.T).argmax(axis=1)]
        assert matrix["matrices"]["CMC@1"][row][0] == pytest.approx((nearest == wanted).mean())
    refused = skipfill("matrix", "v1", "--items", registered.gallery_items, "--templates", expect=2)
    assert "expected queries that are not gallery items" in refused.err


def test_the_matrix_as_people_see_it(skipfill: Skipfill, registered: World) -> None:
    alone = skipfill("matrix", "v1", "--items", registered.heldout, "--metric", "mAP")
    assert "mAP of 192 queries among 192 gallery rows" in alone.out
    assert "AC" in alone.out
    assert "undefined" in alone.out
    assert [line for line in alone.out.splitlines() if len(line) > 80] == []
    skipfill("train", "plain", "--items", registered.items, "--gallery", "things", "--method", "independent", *SHORT)
    refused = skipfill("matrix", "v1", "plain", "--items", registered.heldout, expect=2)
    assert "model plain: expected a view onto the gallery's space 'v1'" in refused.err
    assert "expected each model once" in skipfill("matrix", "v1", "v1", "--items", registered.heldout, expect=2).err
    assert "expected labels" in skipfill("matrix", "v1", "--items", registered.unlabelled, expect=2).err
    other = skipfill(
        "matrix", "v1", "--items", registered.heldout, "--gallery-items", registered.old_items, "--json"
    ).document["matrix"]
    assert other["left_out"] == 192 * 7 // 12  # seven of the twelve classes are not among the old items


def test_a_long_sequence_is_shown_in_parts(capsys: pytest.CaptureFixture[str]) -> None:
    values = np.linspace(0.5, 1.0, 121).reshape(11, 11)
    values[3, 1] = 0.1
    values[np.triu_indices(11, 1)] = np.nan
    names = [f"v{number}" for number in range(1, 12)]
    show_report(printer(), SequenceReport(names, {"mAP": values}, 50, 100, 2), "mAP")
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    (row,) = [line.split() for line in lines if line.startswith("4 ")]
    assert row == ["4", "v4", ".637", ".100<", ".646", ".650"]
    assert [line.split() for line in lines if line.startswith("11 ")][1] == ["11", "v11", ".996", "1.00"]


def slow_summary(matrix: np.ndarray) -> list[float]:
    """The four numbers again, from METHODS, by hand."""
    size = len(matrix)
    pairs = [(i, j) for i in range(size) for j in range(size) if i > j]
    triangle = [matrix[i, j] for i in range(size) for j in range(size) if i >= j]
    return [
        sum(1 for i, j in pairs if not matrix[i, j] < matrix[j, j]) / len(pairs),
        sum(triangle) / len(triangle),
        sum(matrix[size - 1, i] - matrix[i, i] for i in range(size - 1)) / (size - 1),
        sum(matrix[i, i - 1] - matrix[i, i] for i in range(1, size)) / (size - 1),
    ]


@pytest.mark.parametrize("size", [2, 3, 8])
def test_the_summary_is_its_definition(size: int) -> None:
    random = np.random.default_rng(size)
    for _ in range(20):
        matrix = np.round(random.uniform(size=(size, size)), 1)  # with ties
        matrix[np.triu_indices(size, 1)] = np.nan
        found = [average_compatibility(matrix), average_multimodel(matrix), backward(matrix), forward(matrix)]
        np.testing.assert_allclose(found, slow_summary(matrix))


def test_ties_are_compatible_and_one_model_is_undefined() -> None:
    assert average_compatibility(np.full((4, 4), 0.5)) == 1
    assert average_compatibility(np.array([[0.5, np.nan], [np.nextafter(0.5, 0), 0.6]])) == 0
    one = np.array([[0.7]])
    assert (average_compatibility(one), average_multimodel(one), backward(one), forward(one)) == (None, 0.7, None, None)


def on_simplex(name: str, dim: int, **slots: int) -> Space:
    return Space(name, dim, "cosine", name, list(slots), slots)


def test_old_slots_stay_and_new_classes_take_free_ones() -> None:
    old = on_simplex("v1", 5, b=0, c=2)
    assert assigned_slots(["b", "c", "a", "d"], [old], 6, "front") == {"b": 0, "c": 2, "a": 1, "d": 3}
    assert assigned_slots(["b", "c", "a", "d"], [old], 6, "back") == {"b": 0, "c": 2, "a": 5, "d": 4}
    assert assigned_slots(["x", "y"], [], 6, "back") == {"x": 5, "y": 4}
    both = assigned_slots(["b", "c", "x", "y"], [old, on_simplex("w", 5, x=5, b=0)], 6, "front")
    assert both == {"b": 0, "c": 2, "x": 5, "y": 1}
    with pytest.raises(BadInput, match=r"at most 6, one for each vertex .* found 7"):
        assigned_slots(["b", "c", "a", "d", "e", "f", "g"], [old], 6, "front")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (on_simplex("w", 5, c=3), "'c' on slot 2 in v1, 'c' on slot 3 in w"),
        (on_simplex("w", 5, z=0), "'b' on slot 0 in v1, 'z' on slot 0 in w"),
        (on_simplex("w", 6, b=0), "dimension 6, with slots"),
        (on_simplex("w", 5), "dimension 5, with no slots"),
    ],
)
def test_spaces_that_disagree_are_refused(other: Space, found: str) -> None:
    with pytest.raises(BadInput, match=found):
        assigned_slots(["b", "c"], [on_simplex("v1", 5, b=0, c=2), other], 6, "front")


def simplex(skipfill: Skipfill, name: str, items: Path, *more: object, expect: int = 0) -> str:
    fixed = ("--method", "simplex", "--epochs", 12, "--batch", 32)
    return skipfill("train", name, "--items", items, *fixed, *more, expect=expect).err


def test_a_model_trained_apart_replaces_one_in_the_sequence(skipfill: Skipfill, world: World) -> None:
    skipfill("init")
    simplex(skipfill, "v1", world.old_items)
    add_gallery(skipfill, world, "v1")
    simplex(skipfill, "v2", world.items, "--gallery", "g-v1", "--init", "v1")
    shutil.rmtree(STORE / "models" / "v1")  # v3 needs neither its weights nor any gallery
    simplex(skipfill, "v3", world.items, "--slots-of", "v2", "--seed", 5)
    known, replacement = card(skipfill, "v2"), card(skipfill, "v3")
    assert known["slots"] == {f"class-{slot:02d}": slot for slot in range(9)}
    assert replacement["slots"] == known["slots"]
    assert replacement["gallery"] == {}
    assert set(replacement["views"]) == {"v1", "v2", "v3"}  # type: ignore[call-overload]
    found = skipfill("matrix", "v2", "v3", "--items", world.known, "--json").document["matrix"]
    assert found["matrices"]["CMC@1"][1][0] > 0.5  # chance is 1 in 12
    taken = simplex(skipfill, "v1", world.items, expect=2)
    assert "found a model or a space of this name" in taken


def test_parties_at_opposite_ends_meet_and_others_clash(skipfill: Skipfill, world: World) -> None:
    skipfill("init")
    table = pq.read_table(world.items)
    renamed = [f"their-{label}" for label in table.column("label").to_pylist()]
    pq.write_table(table.set_column(2, "label", [renamed]), "theirs.parquet")
    simplex(skipfill, "ours", world.old_items)
    simplex(skipfill, "theirs", Path("theirs.parquet"))
    clash = simplex(skipfill, "both", world.items, "--slots-of", "ours", "--slots-of", "theirs", expect=2)
    assert "'class-00' on slot 0 in ours, 'their-class-00' on slot 0 in theirs" in clash
    wrong = skipfill("train", "v9", "--items", world.items, "--method", "independent", "--slots-of", "ours", expect=2)
    assert "--slots-of: expected a method with class slots: simplex" in wrong.err


def test_init_starts_from_the_weights_of_a_model(skipfill: Skipfill, registered: World) -> None:
    still = ("--items", registered.items, "--method", "independent", "--dim", 8, "--epochs", 1, "--lr", 1e-12)
    skipfill("train", "same", *still, "--init", "v1")
    skipfill("train", "other", *still)
    vectors: dict[str, np.ndarray] = {}
    for name in ("v1", "same", "other"):
        skipfill("encode", name, registered.heldout, "-o", f"{name}.parquet")
        vectors[name] = np.array(pq.read_table(f"{name}.parquet").column("vector").to_pylist())
    np.testing.assert_allclose(vectors["same"], vectors["v1"], atol=1e-5)
    assert np.abs(vectors["other"] - vectors["v1"]).max() > 0.1
    skipfill("encode", "v1", registered.items, "-o", "narrow.parquet")  # 8 features instead of 16
    labels = pq.read_table(registered.items).column("label")
    pq.write_table(pq.read_table("narrow.parquet").select(["id", "vector"]).append_column("label", labels), "n.parquet")
    refused = skipfill("train", "x", "--items", "n.parquet", "--init", "v1", expect=2)
    assert "--init v1: expected the encoder of these items" in refused.err


def test_init_takes_the_head_of_a_model_that_remembers_another_gallery(skipfill: Skipfill, registered: World) -> None:
    """v2 remembers unlabelled items; what it remembers is no weight, and stays behind."""
    again = ("--items", registered.items, "--gallery", "things", "--epochs", 1)
    skipfill("train", "v2", *again, "--align", registered.unlabelled)
    skipfill("train", "v3", *again, "--init", "v2", "--lr", 1e-12)
    second, third = (load_model(open_store(STORE), name).network.head for name in ("v2", "v3"))
    assert len(second.get_buffer("items.keys")) > 0
    assert len(third.get_buffer("items.keys")) == 0
    for (name, one), other in zip(second.named_parameters(), third.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6, msg=name)
