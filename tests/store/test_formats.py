"""Every JSON file of the store has a format: newer ones are refused by name, and the frozen stores stay readable."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.galleries.log import latest
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, tree

FROZEN = sorted((Path(__file__).parents[1] / "fixtures").glob("store-*"))
VERSION = "galleries/things/versions/0000000004.json"


@pytest.fixture(params=FROZEN, ids=lambda folder: folder.name)
def frozen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a store as a release left it, named by the environment."""
    shutil.copytree(request.param, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("SKIPFILL_STORE", "store")
    return tmp_path


@pytest.fixture
def here(skipfill: Skipfill, frozen: Path, monkeypatch: pytest.MonkeyPatch) -> Skipfill:
    monkeypatch.setenv("SKIPFILL_STORE", "store")  # the fixture of commands forgets it
    return skipfill


def test_a_frozen_store_can_be_read(here: Skipfill, frozen: Path) -> None:
    before = tree(frozen)
    assert here("status", "--json").document["galleries"]["things"]["release"]["model"] == "v1"
    log = here("history", "things", "--json").document["versions"]
    assert [one["action"] for one in log] == ["registered", "appended", "swapped", "rolled back"]
    assert [one["reason"] for one in log] == ["", "new stock", "", "to see that it can be undone"]
    verified = here("gallery", "verify", "things", "--deep", "--json").document
    assert verified["version"]["rows"] == 120
    assert verified["models"] == {"v1": "encodes its witness items as when it was saved"}
    hits = here("search", "things", "--vectors", "gallery.parquet", "-k", 1, "--json").document["hits"]
    assert [hit["id"] for hit in hits] == pq.read_table("gallery.parquet").column("id").to_pylist()
    check = log[2]["release"]["check"]
    assert "PASS" in here("report", "things", check).out
    for name in ("v1", "v2"):
        assert here("model", "show", name, "--json").document["model"]["name"] == name
    assert here("search", "things", "--items", "heldout.parquet", "--json").document["model"] == "v1"
    assert tree(frozen) == before


def test_a_frozen_store_goes_on(here: Skipfill, frozen: Path) -> None:
    """Its plan and its check still allow the swap; a new check, a rollback, more rows follow."""
    assert "v2 was rolled back in version 4" in here("swap", "things", "--plan", "plan.json", expect=1).err
    why = ("--reason", "it can be undone")
    assert here("swap", "things", "v2", "--dry-run", "--json", *why).document["version"]["number"] == 5
    here("swap", "things", "--plan", "plan.json", *why)
    here("check", "things", "v2", "--items", "heldout.parquet", expect=None)
    here("rollback", "things")
    table = pq.read_table("gallery.parquet")
    new = [f"new-{index}" for index in range(len(table))]
    pq.write_table(table.set_column(0, "id", [new]), "new.parquet")
    assert here("gallery", "append", "things", "new.parquet", "--json").document["version"]["rows"] == 120 + len(table)
    here("encode", "v2", "heldout.parquet", "-o", "encoded.parquet")
    vectors = np.stack(pq.read_table("encoded.parquet").column("vector").to_pylist())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_a_stray_file_beside_the_checks_of_an_older_release_stops_nothing(here: Skipfill, frozen: Path) -> None:
    for name in ("notes.txt", ".DS_Store"):
        (frozen / "store" / "checks" / "things" / name).write_text("mine")
    (frozen / "store" / "checks" / "things" / "mine").mkdir()
    here("swap", "things", "v2", "--reason", "it can be undone")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


READERS: dict[str, tuple[str, list[str]]] = {
    "store.json": ("store", ["status"]),
    VERSION: ("version", ["status", "things"]),
    "spaces/v1.json": ("space", ["gallery", "show", "things"]),
    "models/v2/card.json": ("card", ["model", "show", "v2"]),
    "checks/things/*/report.json": ("report", ["swap", "things", "v2"]),
    "../plan.json": ("plan", ["swap", "things", "--plan", "plan.json"]),
}


@pytest.mark.parametrize("name", READERS)
def test_a_newer_format_is_refused_by_the_name_of_its_file(here: Skipfill, frozen: Path, name: str) -> None:
    what, command = READERS[name]
    path = next((frozen / "store").glob(name)) if "*" in name else frozen / "store" / name
    edit(path, lambda raw: {**raw, "format": 99, "what only a newer release knows": [1]})
    refused = here(*command, expect=2).err
    assert f"expected {what} format" in refused
    assert path.resolve().name in refused
    assert "Upgrade skipfill" in refused


def test_every_json_file_says_its_format(frozen: Path) -> None:
    files = list((frozen / "store").rglob("*.json"))
    assert len(files) >= 9
    for path in files:
        assert json.loads(path.read_text())["format"] >= 1, path


def test_files_of_older_releases_are_read(here: Skipfill, frozen: Path) -> None:
    """They lacked fields: slots, thresholds, the plan of a version, the format of spaces and of file lists."""
    without = lambda *names: lambda raw: {key: value for key, value in raw.items() if key not in names}  # noqa: E731
    store = frozen / "store"
    edit(store / "spaces" / "v1.json", without("format", "slots", "views"))
    for name in ("v1", "v2"):
        edit(store / "models" / name / "card.json", without("slots", "training", "digest"))
    edit(store / VERSION, without("plan"))
    edit(store / VERSION, lambda raw: {**raw, "release": without("thresholds")(raw["release"])})
    report = next(store.glob("checks/things/*/report.json"))
    edit(report, without("truth", "flips", "scores", "index", "thresholds"))
    slices = without("units", "requirements")
    edit(report, lambda raw: {**raw, "format": 1, "id": "", "slices": [slices(one) for one in raw["slices"]]})
    identity = hashlib.sha256(report.read_bytes()).hexdigest()[:12]
    edit(report, lambda raw: {**raw, "id": identity})
    report = report.parent.rename(report.parent.with_name(identity)) / report.name
    here("status")
    here("gallery", "show", "things")
    here("model", "show", "v2")
    here("report", "things", report.parent.name)
    here("swap", "things", "v2", "--reason", "it was undone")


def test_a_verdict_that_was_edited_allows_nothing(here: Skipfill, frozen: Path) -> None:
    report = next((frozen / "store").glob("checks/things/*/report.json"))
    report.write_bytes(report.read_bytes().replace(b'"mean": 0.', b'"mean": 1.', 1))
    assert "one that was edited" in here("swap", "things", "v2", "--reason", "it was undone", expect=2).err


def test_an_old_check_is_said_to_be_old_and_keeps_to_a_policy_that_is_set(here: Skipfill, frozen: Path) -> None:
    assert "pass, in an older format: only the newest check counts" in here("plan", "things", "v2", expect=1).out
    here("swap", "things", "v2", "--reason", "it was undone", "--dry-run")
    here("policy", "things", "--metric", "nDCG@10")
    assert "in an older format" in here("swap", "things", "v2", "--reason", "it was undone", expect=1).err
    assert "asked less: metric" in here("plan", "things", "v2", expect=1).out


def test_a_new_check_speaks_instead_of_the_old_ones(here: Skipfill, frozen: Path) -> None:
    here("check", "things", "v2", "--items", "heldout.parquet", "--flip-budget", 0.0001, "--margin", 0, expect=None)
    assert "older release" not in here("plan", "things", "v2", expect=1).out


@pytest.mark.parametrize("kept", [400, 100, 0])
def test_a_truncated_old_check_of_another_model_is_left_out(here: Skipfill, frozen: Path, kept: int) -> None:
    """A report that does not say any more whose it is may be a fail of this very model, and nothing is allowed."""
    report = next((frozen / "store").glob("checks/things/*/report.json"))
    other = report.parents[1] / ("0" * 12) / report.name
    other.parent.mkdir()
    raw = {**json.loads(report.read_text()), "fingerprint": "f" * 64}
    other.write_text(json.dumps(raw, indent=1)[:kept])
    here("swap", "things", "v2", "--reason", "it was undone", "--dry-run", expect=0 if kept == 400 else 2)


def test_plain_file_lists_are_read(frozen: Path) -> None:
    """A list written before file lists had a format is read, under the digest of itself."""
    objects = open_store(frozen / "store")
    now = latest(objects, "things")
    files = read_files(objects, "things", now)
    plain = json.dumps([vars(one) for one in files]).encode()
    digest = hashlib.sha256(plain).hexdigest()
    objects.put_new(f"galleries/things/files/{digest}.json", plain)
    edit(frozen / "store" / VERSION, lambda raw: {**raw, "files": digest})
    assert open_gallery(objects, "things").files == files


@pytest.fixture
def views(skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Skipfill:
    """A store whose models have a linear map, blends, and a blend as the first bundles had it."""
    shutil.copytree(FROZEN[0].parent / "views-0.1", tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("SKIPFILL_STORE", "store")
    return skipfill


@pytest.mark.parametrize("model", ["both", "mapped", "mixed"])
def test_frozen_maps_and_blends_make_the_same_vectors(views: Skipfill, model: str) -> None:
    views("encode", model, "heldout.parquet", "--onto", "v1", "-o", "now.parquet")
    now, then = (
        np.stack(pq.read_table(file).column("vector").to_pylist())
        for file in ("now.parquet", f"heldout-{model}.parquet")
    )
    np.testing.assert_allclose(now, then, atol=1e-5)


def test_a_frozen_blend_takes_vectors_that_queries_bring(views: Skipfill) -> None:
    table = pq.read_table("heldout.parquet")
    old = pq.read_table("heldout-old.parquet").column("vector")
    pq.write_table(table.append_column("old", old), "with_old.parquet")
    views("encode", "brought", "with_old.parquet", "--old-vector", "old", "--onto", "v1", "-o", "now.parquet")
    mapped, now = (
        np.stack(pq.read_table(f"{name}.parquet")["vector"].to_pylist()) for name in ("heldout-mapped", "now")
    )
    stored = np.stack(old.to_pylist())
    expected = 0.25 * mapped + 0.75 * stored / np.linalg.norm(stored, axis=1, keepdims=True)
    np.testing.assert_allclose(now, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_only_what_needs_a_newer_format_has_it(views: Skipfill, tmp_path: Path) -> None:
    """A release that knows prefixes alone reads all the rest, and refuses these files by their format."""
    formats = {
        path.parent.name: json.loads(path.read_text())["format"] for path in tmp_path.glob("store/models/*/card.json")
    }
    assert formats == {"v1": 1, "v2": 1, "both": 1, "mapped": 2, "mixed": 2, "brought": 2}
    log = sorted(tmp_path.glob("store/galleries/things/versions/*.json"))
    assert [json.loads(path.read_text())["format"] for path in log] == [1, 3]
    assert json.loads((tmp_path / "store/galleries/things/release.json").read_text())["format"] == 3
    assert "blend, 4 coordinates" in views("status", "things").out
    assert "linear, 4 coordinates" in views("model", "show", "mapped").out
    views("rollback", "things")
    assert json.loads((tmp_path / "store/galleries/things/release.json").read_text())["format"] == 1
