"""The whole upgrade by command: train, encode, register, check, swap, search, roll back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from skipfill.compat.methods.registry import METHODS
from tests.conftest import Skipfill, World, kill_after, spawn, write_vectors, write_world

STORE = Path(".skipfill")


def train(skipfill: Skipfill, name: str, world: World, *more: object, epochs: int = 3) -> None:
    skipfill("train", name, "--items", world.items, "--epochs", epochs, "--batch", 32, "--quiet", *more)


def test_an_upgrade_from_end_to_end(skipfill: Skipfill, with_v2: World) -> None:
    world = with_v2
    train(skipfill, "ceiling", world, "--gallery", "things", "--method", "independent", epochs=60)
    refused = skipfill("swap", "things", "v2", expect=1)
    assert "expected a passing check of v2, found none" in refused.err
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    checked = skipfill(
        *("check", "things", "v2", "--items", world.known, "--gallery-items", world.gallery_items),
        *("--ceiling", "ceiling", "--json"),
    ).document
    assert checked["verdict"] == "pass"
    assert checked["schema_version"] == 1
    known = next(one for one in checked["check"]["slices"] if one["name"] == "seen")
    cells = {(cell["pair"], cell["metric"]): cell["value"]["mean"] for cell in known["cells"]}
    assert cells["new/old", "mAP"] > cells["old/old", "mAP"]
    assert {pair for pair, _ in cells} == {"old/old", "new/old", "new/new", "ceiling"}
    per_query = pq.read_table(STORE / "checks" / "things" / checked["check"]["id"] / "queries.parquet")
    assert per_query.column("new/old mAP").to_numpy().mean() == pytest.approx(cells["new/old", "mAP"])

    swapped = skipfill("swap", "things", "v2", "--json").document["version"]
    assert (swapped["number"], swapped["release"]["model"]) == (3, "v2")
    assert swapped["release"]["check"] == checked["check"]["id"]
    hits = skipfill("search", "things", "--items", world.heldout, "-k", 3, "--json").document
    assert hits["model"] == "v2"
    assert len(hits["hits"]) == 3 * pq.read_metadata(world.heldout).num_rows
    back = skipfill("rollback", "things", "--reason", "just to see", "--json").document["version"]
    assert (back["number"], back["release"]["model"], back["reason"]) == (4, "v1", "just to see")
    assert skipfill("search", "things", "--items", world.heldout, "--json").document["model"] == "v1"
    skipfill("swap", "things", "v2", "--reason", "seen")  # rows and release are those that the check measured
    log = skipfill("history", "things", "--json").document["versions"]
    assert [one["action"] for one in log] == ["registered", "policy changed", "swapped", "rolled back", "swapped"]
    assert skipfill("status", "--json").document["galleries"]["things"]["release"]["model"] == "v2"
    for command in (["history", "things"], ["status"], ["gallery", "show", "things"], ["gallery", "list"]):
        assert "v2" in skipfill(*command).out
    assert "encodes its witness items" in skipfill("gallery", "verify", "things", "--deep").out
    assert "trained on" in skipfill("model", "show", "v2").out
    assert "ceiling" in skipfill("model", "list").out
    for name in METHODS:
        assert name in skipfill("methods").out


@pytest.mark.parametrize("method", ["independent", "bct", "oca", "bt2", "gallery"])
def test_every_method_trains_and_encodes_by_command(skipfill: Skipfill, registered: World, method: str) -> None:
    if method == "bt2":
        train(skipfill, "teacher", registered, "--method", "independent", "--dim", 24)
    teacher = ["--teacher", "teacher"] if method == "bt2" else []
    train(skipfill, "new", registered, "--gallery", "things", "--method", method, *teacher)
    skipfill("encode", "new", registered.heldout, "-o", "new.parquet")
    vectors = np.stack(pq.read_table("new.parquet").column("vector").to_pylist())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_simplex_models_share_a_space_and_its_slots(skipfill: Skipfill, world: World) -> None:
    skipfill("init")
    skipfill("train", "s1", "--items", world.old_items, "--method", "simplex", "--epochs", 40, "--batch", 16)
    skipfill("encode", "s1", world.gallery_items, "-o", "s.parquet")
    skipfill("gallery", "add", "s", "s.parquet", "--space", "s1")
    # Labels that sort before the old ones must not move the old slots.
    table = pq.read_table(world.items)
    names = [label.replace("class-08", "a-new-class") for label in table.column("label").to_pylist()]
    pq.write_table(table.set_column(2, "label", [names]), "renamed.parquet")
    skipfill(
        "train",
        "s2",
        "--items",
        "renamed.parquet",
        "--method",
        "simplex",
        "--gallery",
        "s",
        "--epochs",
        40,
        "--batch",
        16,
    )
    old = skipfill("model", "show", "s1", "--json").document["model"]["classes"]
    new = skipfill("model", "show", "s2", "--json").document["model"]["classes"]
    assert new[: len(old)] == old
    assert "a-new-class" in new[len(old) :]
    checked = skipfill("check", "s", "s2", "--items", world.heldout, "--json", expect=None).document
    cells = {(cell["pair"], cell["metric"]): cell["value"]["mean"] for cell in checked["check"]["slices"][1]["cells"]}
    assert cells["new/old", "CMC@1"] > 0.5  # chance is 1 in 12


def test_the_old_model_can_be_deleted(skipfill: Skipfill, registered: World) -> None:
    """Its gallery is enough: train, check, swap and search still work; queries of the check are stored rows."""
    shutil.rmtree(STORE / "models" / "v1")
    world = registered
    items, gallery = pq.read_table(world.items), pq.read_table(world.gallery_items)
    trained = set(items.column("id").to_pylist())
    labels = set(items.column("label").to_pylist())
    rows = zip(gallery.column("id").to_pylist(), gallery.column("label").to_pylist(), strict=True)
    rest = gallery.filter([name not in trained and label in labels for name, label in rows])
    pq.write_table(rest, "stored.parquet")
    train(skipfill, "v2", world, "--gallery", "things", "--hold-out", "stored.parquet", epochs=60)
    outside = skipfill("check", "things", "v2", "--items", world.heldout, expect=2)
    assert "because v1 is not in this store" in outside.err
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    checked = skipfill("check", "things", "v2", "--items", "stored.parquet", "--json")
    report = checked.document["check"]
    assert report["baseline"] == "stored vectors of the queries' ids"
    assert report["reencoded_rows"] == len(rest)
    assert "new/new" in {cell["pair"] for cell in report["slices"][0]["cells"]}
    gone = skipfill("search", "things", "--items", world.heldout, expect=2)
    assert "expected the released model v1" in gone.err
    assert skipfill("search", "things", "--vectors", "gallery.parquet", "-k", 2, "--json").document["k"] == 2
    skipfill("swap", "things", "v2")
    assert skipfill("search", "things", "--items", world.heldout, "--json").document["model"] == "v2"
    skipfill("rollback", "things")


def test_a_gallery_known_only_by_its_vectors(skipfill: Skipfill, world: World) -> None:
    """The old provider is gone from the start; the vectors are not normalised and the columns have other names."""
    skipfill("init")
    table = pq.read_table(world.gallery_items)
    vectors = np.stack(table.column("vector").to_pylist()).astype(np.float32)
    turn = np.random.default_rng(0).normal(size=(vectors.shape[1], 6))
    write_vectors(
        Path("stored.parquet"),
        5 * vectors @ turn,
        table.column("id"),
        table.column("label"),
        ("key", "embedding", "kind"),
    )
    columns = ["--id", "key", "--vector", "embedding", "--label", "kind"]
    skipfill("gallery", "add", "g", "stored.parquet", "--space", "ada", *columns)
    assert skipfill("status", "--json").document["galleries"]["g"]["release"] is None
    assert (
        "expected a model in this store that encodes queries"
        in skipfill("search", "g", "--items", world.heldout, expect=2).err
    )
    train(skipfill, "v2", world, "--gallery", "g", epochs=60)
    check = ["check", "g", "v2", "--items", world.gallery_items, "--accept-worse", "unseen", "--json"]
    checked = skipfill(*check, expect=3).document["check"]  # all of them together are undecided
    assert any("left out: model v2 was trained on them" in warning for warning in checked["warnings"])
    skipfill("swap", "g", "v2", "--without-check", "the provider shut down")
    last = skipfill("history", "g", "--json").document["versions"][-1]
    assert last["release"]["without_check"] == "the provider shut down"
    assert skipfill("search", "g", "--items", world.heldout, "--json").document["model"] == "v2"
    skipfill("rollback", "g")
    assert skipfill("status", "--json").document["galleries"]["g"]["release"] is None


def test_a_changed_gallery_file_is_noticed(skipfill: Skipfill, registered: World) -> None:
    table = pq.read_table("gallery.parquet")
    pq.write_table(table.slice(1), "gallery.parquet")
    for command in (
        ["gallery", "verify", "things"],
        ["search", "things", "--items", registered.heldout],
        ["train", "v2", "--gallery", "things", "--items", registered.items],
        ["check", "things", "v1", "--items", registered.heldout],
    ):
        assert "expected the file that gallery things was registered with" in skipfill(*command, expect=4).err


def test_a_damaged_bundle_is_refused(skipfill: Skipfill, registered: World) -> None:
    (weights,) = (STORE / "models" / "v1").glob("weights-*.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "The bundle is damaged" in skipfill("encode", "v1", registered.items, "-o", "out.parquet", expect=2).err
    assert "expected SHA-256" in skipfill("search", "things", "--items", registered.items, expect=2).err


def weights(name: str) -> bytes:
    (path,) = (STORE / "models" / name).glob("weights-*.safetensors")
    return path.read_bytes()


def test_same_seed_same_weights_and_another_seed_others(skipfill: Skipfill, registered: World) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(skipfill, name, registered, "--gallery", "things", "--seed", seed, "--align", registered.unlabelled)
    assert weights("a") == weights("b")
    assert weights("a") != weights("c")


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(
    skipfill: Skipfill, registered: World, tmp_path: Path
) -> None:
    command = ["--items", registered.items, "--gallery", "things", "--epochs", 20]
    skipfill("train", "whole", *command)
    running = spawn("train", "killed", *command, cwd=tmp_path)
    checkpoint = STORE / "training" / "killed" / "checkpoint.safetensors"
    kill_after(running, checkpoint)
    assert not (STORE / "models" / "killed" / "card.json").exists()
    assert "killed" not in skipfill("model", "list").out
    other = skipfill("train", "killed", *command[:-1], 3, expect=2)
    assert "--restart" in other.err
    skipfill("train", "killed", *command)
    assert weights("killed") == weights("whole")
    assert not checkpoint.exists()


def test_a_check_of_an_older_state_does_not_allow_a_swap(skipfill: Skipfill, with_v2: World) -> None:
    train(skipfill, "v3", with_v2, "--gallery", "things", epochs=20)
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    checks = [
        skipfill("check", "things", name, "--items", with_v2.known, "--json").document["check"]["id"]
        for name in ("v2", "v3")
    ]
    skipfill("swap", "things", "v2")
    refused = skipfill("swap", "things", "v3", expect=1)
    assert (
        "gallery things version 3: expected a passing check of v3, found none that compares with v2, "
        f"which queries have used since version 3: check {checks[1]} passed against v1"
    ) in refused.err
    report = skipfill("check", "things", "v3", "--items", with_v2.heldout, "--json", expect=None).document["check"]
    assert "released/old" in {cell["pair"] for cell in report["slices"][0]["cells"]}
    shown = skipfill("report", "things", report["id"]).out
    assert shown.splitlines()[3].split()[:5] == ["verdict", "queries", "old", "now", "new"]
    assert "got worse than released/old and" in shown


def test_dry_runs_write_nothing(skipfill: Skipfill, with_v2: World) -> None:
    before = sorted(STORE.rglob("*"))
    skipfill("swap", "things", "v1", "--without-check", "x", "--dry-run")  # v1 is released already
    skipfill("gallery", "add", "again", "gallery.parquet", "--space", "v1", "--dry-run")
    assert sorted(STORE.rglob("*")) == before
    planned = skipfill("swap", "things", "v2", "--without-check", "x", "--dry-run", "--json").document
    assert (planned["version"]["number"], planned["dry_run"]) == (2, True)
    assert sorted(STORE.rglob("*")) == before
    skipfill("swap", "things", "v2", "--without-check", "x")
    before = sorted(STORE.rglob("*"))
    planned = skipfill("rollback", "things", "--dry-run", "--json").document
    assert (planned["version"]["number"], planned["version"]["release"]["model"]) == (3, "v1")
    assert sorted(STORE.rglob("*")) == before


def test_a_store_moves_with_its_folder(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    inner = write_world(tmp_path, seed=0)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.copytree(tmp_path, moved)
    Path("gallery.parquet").unlink()
    skipfill("search", "things", "--items", inner.heldout, expect=4)
    found = skipfill("search", "things", "--items", inner.heldout, "--store", moved / ".skipfill", "--json").document
    assert found["hits"]
    shutil.rmtree(moved)


def test_json_documents_end_with_their_exit_code(skipfill: Skipfill, registered: World) -> None:
    for command in (["status"], ["history", "things"], ["model", "list"], ["gallery", "list"], ["methods"]):
        document = skipfill(*command, "--json").document
        assert document["schema_version"] == 1
        assert document["exit_code"] == 0
    failed = json.loads(skipfill("model", "show", "nothing", "--json", expect=2).out)
    assert failed["exit_code"] == 2


def test_a_teacher_too_small_for_the_gallery_is_refused(skipfill: Skipfill, registered: World) -> None:
    train(skipfill, "teacher", registered, "--method", "independent", "--dim", 2)
    more = ["--method", "bt2", "--teacher", "teacher", "--set", "bt2.extra_dims=1", "--items", registered.items]
    found = skipfill("train", "v2", "--gallery", "things", *more, expect=2).err
    assert "expected at least 8 dimensions, as the gallery has, from teacher and extra_dims together, found 3" in found


def test_a_blend_holds_both_encoders(skipfill: Skipfill, registered: World) -> None:
    train(skipfill, "v2", registered, "--gallery", "things", "--method", "bct")
    skipfill("blend", "both", "--new", "v2", "--old", "v1")
    for name in ("v1", "v2", "both"):
        skipfill("encode", name, registered.heldout, "-o", f"{name}.parquet")
    skipfill("encode", "both", registered.heldout, "--onto", "v1", "-o", "view.parquet")
    old, new, both, view = (
        np.stack(pq.read_table(f"{name}.parquet").column("vector").to_pylist()) for name in ("v1", "v2", "both", "view")
    )
    old, new = unit_rows(old), unit_rows(new)
    # The blend lies between the two views, nearer to the old one: its weight is 1, the new one's sqrt(p) <= 1.
    assert ((view * old).sum(axis=1) >= (view * unit_rows(new[:, :8])).sum(axis=1) - 1e-5).all()
    np.testing.assert_allclose(both, new, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(view, axis=1), 1, atol=1e-5)
    shutil.rmtree(STORE / "models" / "v1")
    shutil.rmtree(STORE / "models" / "v2")
    skipfill("check", "things", "both", "--items", registered.gallery_items, expect=None)
    skipfill("swap", "things", "both", "--without-check", "test")
    assert skipfill("search", "things", "--items", registered.heldout, "--json").document["model"] == "both"


def test_what_cannot_be_blended(skipfill: Skipfill, registered: World) -> None:
    train(skipfill, "plain", registered, "--method", "independent", "--dim", 8)
    train(skipfill, "oca", registered, "--method", "oca", "--gallery", "things")
    assert (
        "expected a view onto the space of v1" in skipfill("blend", "b", "--new", "plain", "--old", "v1", expect=2).err
    )
    assert "weight 0.4 (a guess" in skipfill("blend", "guess", "--new", "oca", "--old", "v1").out
    assert "expected one that is not a blend" in skipfill("blend", "b", "--new", "guess", "--old", "v1", expect=2).err
    assert "expected a known model" in skipfill("blend", "b", "--new", "oca", "--old", "v9", expect=2).err


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
