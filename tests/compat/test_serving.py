"""The interface of services: a value that encodes, `status NAME`, its `--watch`, `release.json` beside the log."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from skipfill.compat.serving import released
from skipfill.store.errors import BadInput
from skipfill.store.galleries.commit import commit
from skipfill.store.galleries.log import Version, history, latest
from skipfill.store.models.cards import WEIGHTS, Card, file_key, load_card
from skipfill.store.releases.rollback import rollback
from skipfill.store.storage.address import address
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.compat.encoders.samples import OWN, drawings
from tests.compat.inference.bundles import rewritten, texts, trained, without_witness, write_module
from tests.conftest import Skipfill, World, spawn, tree
from tests.store.stores import store_with, swap
from tests.warm import start

STORE = Path(".skipfill")


def in_force(skipfill: Skipfill, card: Card) -> None:
    """A gallery `g` of what `card` makes of items.parquet, released to it."""
    skipfill("encode", card.name, "items.parquet", "-o", "g.parquet")
    skipfill("gallery", "add", "g", "g.parquet", "--space", card.name)


# The call


def test_texts(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    in_force(skipfill, texts(tmp_path))
    served = released(str(STORE), "g")
    assert (served.model, served.version, served.thresholds, served.warnings) == ("v1", 1, [], ())
    items = pq.read_table("items.parquet").column("text").to_pylist()
    made = served.encode(items)
    assert (made.dtype, made.shape) == (np.float32, (len(items), served.space.dim))
    stored = np.stack(pq.read_table("g.parquet").column("vector").to_pylist())
    np.testing.assert_allclose(made, stored, atol=1e-5)
    np.testing.assert_allclose(served.encode(tuple(items[:1])), stored[:1], atol=1e-5)
    assert served.encode([]).shape == (0, served.space.dim)


def test_images(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    images = drawings(40)
    in_force(skipfill, trained("convnet", images))
    Path("g.parquet").rename("moved.parquet")  # the gallery's files are not needed
    served = released(STORE, "g")
    stored = np.stack(pq.read_table("moved.parquet").column("vector").to_pylist())
    np.testing.assert_allclose(served.encode(images), stored, atol=1e-5)
    as_rows = [{"bytes": image, "path": "drawing.png"} for image in images]  # of a Parquet file
    np.testing.assert_array_equal(served.encode(as_rows), served.encode(images))
    with pytest.raises(BadInput, match="expected a list of texts or of images as bytes"):
        served.encode([*as_rows, {"bytes": None, "path": "drawing.png"}])
    assert re.fullmatch(r"<Served: \S+ for gallery g, version \d>", repr(served))
    with pytest.raises(BadInput, match="queries, row 1: expected an image"):
        served.encode([images[0], b"no image"])


def test_vectors_through_a_view(skipfill: Skipfill, registered: World) -> None:
    """The new model's queries, in the old space; as `search` encodes them."""
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 2, "--quiet")
    skipfill("swap", "things", "v2", "--without-check", "small")
    served = released(open_store(STORE), "things")
    assert (served.model, served.space.name, served.space.dim) == ("v2", "v1", 8)
    items = np.stack(pq.read_table(registered.heldout).column("vector").to_pylist())
    made = served.encode(items)
    assert made.shape == (len(items), 8)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(served.encode(items.astype(np.float64)), made, atol=1e-6)
    hits = skipfill("search", "things", "--items", registered.heldout, "-k", 1, "--json").document["hits"]
    stored = np.stack(pq.read_table("gallery.parquet").column("vector").to_pylist())
    np.testing.assert_allclose((made @ stored.T).max(axis=1), [hit["score"] for hit in hits], atol=1e-5)


QUERIES: dict[str, tuple[Any, str]] = {
    "texts": (["a"], "expected vectors, which model v1 encodes, found texts"),
    "one text": ("a", "found str of str"),
    "bytes": (b"ab", "found bytes of int"),
    "both": (["a", b"b"], "found list of bytes, str"),
    "numbers": ([1, 2], "found list of int"),
    "one vector": (np.ones(16, np.float32), r"found float32 of shape \(16,\)"),
    "whole numbers": (np.ones((2, 16), np.int64), r"found int64 of shape"),
    "not a number": (np.full((1, 16), np.nan, np.float32), "finite floats"),
    "another dimension": (np.ones((1, 15), np.float32), "queries, row 0: expected features of dimension 16"),
}


def test_queries_that_are_none(registered: World) -> None:
    served = released(STORE, "things")
    for queries, found in QUERIES.values():
        with pytest.raises(BadInput, match=found):
            served.encode(queries)


def test_it_tells_when_the_release_is_another(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 1, "--quiet")
    before = tree(STORE)
    served = released(STORE, "things")
    assert not served.changed()
    assert tree(STORE) == before
    skipfill("swap", "things", "v2", "--without-check", "small")
    assert served.changed()
    assert not released(STORE, "things").changed()
    skipfill("rollback", "things")
    assert not served.changed()
    assert released(STORE, "things").version == 3


def test_nothing_is_released(skipfill: Skipfill, registered: World) -> None:
    skipfill("gallery", "add", "alone", "gallery.parquet", "--space", "external")
    served = released(STORE, "alone")
    assert (served.model, served.release, served.thresholds) == ("external", None, [])
    with pytest.raises(BadInput, match="because model external is not in the store, found none"):
        served.encode(np.ones((1, 8), np.float32))
    np.testing.assert_allclose(served.encode(["a"], np.full((1, 8), 2.0)), np.full((1, 8), 8**-0.5), atol=1e-6)
    with pytest.raises(BadInput, match="expected a known gallery"):
        released(STORE, "nowhere")


def test_a_bundle_that_was_replaced_is_refused(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 1, "--quiet")
    skipfill("swap", "things", "v2", "--without-check", "small")
    shutil.rmtree(STORE / "models" / "v2")
    with pytest.raises(BadInput, match="expected the released model v2, found none that can be used"):
        released(STORE, "things")
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 2, "--quiet")
    with pytest.raises(BadInput, match="expected model v2 with fingerprint"):
        released(STORE, "things")


def test_a_damaged_bundle_is_refused(registered: World) -> None:
    path = STORE / file_key(load_card(open_store(STORE), "v1"), WEIGHTS)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BadInput, match="expected SHA-256"):
        released(STORE, "things")


def test_an_encoder_that_encodes_in_another_way_is_refused(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipfill("init")
    in_force(skipfill, texts(tmp_path))
    with monkeypatch.context() as changed:
        changed.setattr("skipfill.compat.inference.network.unit", lambda vectors: 2 * vectors)
        with pytest.raises(BadInput, match="expected the same embeddings of its witness items"):
            released(STORE, "g")
    without_witness("v1")
    assert released(STORE, "g").warnings == (
        "model v1 has no witness vectors: it cannot be verified that it still encodes as it did",
    )
    rewritten({"prefix": "query: "})
    with pytest.raises(BadInput, match="expected model v1 with fingerprint"):  # settings are part of it
        released(STORE, "g")


def test_code_runs_only_when_it_is_named(skipfill: Skipfill, tmp_path: Path) -> None:
    write_module(tmp_path, "served_code", OWN)
    skipfill("init")
    card = trained("python:served_code:Own", np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32))
    skipfill("--code", "python:served_code:Own", "encode", card.name, "items.parquet", "-o", "g.parquet")
    skipfill("gallery", "add", "g", "g.parquet", "--space", card.name)
    sys.modules.pop("served_code")
    with pytest.raises(BadInput, match="expected permission to run served_code:Own"):
        released(STORE, "g")
    assert "served_code" not in sys.modules
    assert released(STORE, "g", code=["served_code:Own"]).encode(np.ones((3, 16), np.float32)).shape[0] == 3


# Status


def copy(objects: ObjectStore) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(objects.get("galleries/g/release.json"))
    return found


def test_status_of_one_gallery(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    skipfill("swap", "g", "v2", "--without-check", "a reason")
    before = tree(STORE)
    found = skipfill("status", "g", "--json").document
    assert found["space"] == {"name": "old", "dim": 4, "metric": "cosine", "fingerprint": ""}
    version = found["version"]
    assert version["release"]["fingerprint"] == load_card(objects, "v2").fingerprint
    assert version["release"]["view"] == {"dim": 4, "kind": "prefix"}
    assert version["since"] == {"number": 2, "at": version["at"], "by": version["by"]}
    assert copy(objects) == {"format": 1, "gallery": "g", "version": version}
    shown = skipfill("status", "g").out
    for part in ("v2", "a reason", "the first 4 coordinates, in space old", "version 2", version["by"]):
        assert part in shown
    assert "/.skipfill (g), found 'gg'" in skipfill("status", "gg", expect=2).err
    assert tree(STORE) == before


def appended(objects: ObjectStore) -> Version:
    """A version that leaves the release as it is, as added rows will do."""
    now = latest(objects, "g")
    return commit(objects, "g", replace(now, number=now.number + 1, action="appended"))


def test_since_when_the_release_is_what_it_is(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    swapped = swap(objects, "g", load_card(objects, "v2"), "test")
    assert swapped.since
    assert swapped.since.number == 2
    assert (appended(objects).since, appended(objects).since) == (swapped.since, swapped.since)
    back = rollback(objects, "g").since
    assert back
    assert back.number == 5
    # As an older release wrote them.
    for path in (objects.root / "galleries/g/versions").iterdir():
        raw = json.loads(path.read_text())
        del raw["since"]
        path.write_text(json.dumps(raw))
    assert [one.since and one.since.number for one in history(objects, "g")] == [1, 2, 3, 4, 5]
    more = appended(objects).since
    assert more
    assert more.number == 5


def test_the_copy_follows_the_log(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    for change in (lambda: swap(objects, "g", load_card(objects, "v2"), "test"), lambda: rollback(objects, "g")):
        change()
        assert copy(objects)["version"]["commit"] == latest(objects, "g").commit


def test_a_copy_that_cannot_be_written_is_no_failure_of_the_commit(skipfill: Skipfill, tmp_path: Path) -> None:
    """It lags then, and `status`, which reads the log, is not misled; the next commit brings it up."""
    objects = store_with(tmp_path, 100)
    place = objects.root / "galleries" / "g" / "release.json"
    lagging = place.read_bytes()
    place.unlink()
    place.mkdir()
    (place / "in the way").touch()
    assert skipfill("swap", "g", "v2", "--without-check", "test", "--json").document["version"]["number"] == 2
    shutil.rmtree(place)
    place.write_bytes(lagging)
    assert skipfill("status", "g", "--json").document["version"]["release"]["model"] == "v2"
    assert place.read_bytes() == lagging
    skipfill("rollback", "g")
    assert copy(objects)["version"]["number"] == 3


def test_of_racing_writers_the_last_version_is_in_the_copy(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    code = (
        "import sys; from pathlib import Path; from skipfill.store.storage.location import open_store; "
        "from skipfill.store.models.cards import load_card; from skipfill.store.releases.rollback import rollback; "
        "from skipfill.store.releases.swap import apply_plan, plan_swap; "
        "from skipfill.store.errors import SkipfillError\n"
        "objects = open_store(Path('.skipfill'))\n"
        "for turn in range(12):\n"
        "    try:\n"
        "        if turn % 2:\n"
        "            rollback(objects, 'g')\n"
        "        else:\n"
        "            apply_plan(objects, plan_swap(objects, 'g', load_card(objects, sys.argv[1]), 'race'))\n"
        "    except SkipfillError:\n"
        "        pass\n"
    )
    racers = [start(code, [name], cwd=tmp_path) for name in ("v2", "v3")]
    assert [racer.wait(timeout=120) for racer in racers] == [0, 0]
    assert latest(objects, "g").number > 5
    assert copy(objects)["version"]["commit"] == latest(objects, "g").commit


# Watch


def test_watch_prints_a_line_for_each_change(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    watch = spawn("status", "g", "--watch", "--json", "--every", "0.05", cwd=tmp_path)
    assert watch.stdout
    assert watch.stderr
    lines = [json.loads(watch.stdout.readline())]
    swap(objects, "g", load_card(objects, "v2"), "test")
    swap(objects, "g", load_card(objects, "v3"), "test")
    lines += [json.loads(watch.stdout.readline()) for _ in range(2)]
    rollback(objects, "g", "v3 was worse")
    lines.append(json.loads(watch.stdout.readline()))
    assert [line["version"]["number"] for line in lines] == [1, 2, 3, 4]
    models = [line["version"]["release"] and line["version"]["release"]["model"] for line in lines]
    assert models == [None, "v2", "v3", "v2"]
    assert {line["schema_version"] for line in lines} == {1}
    watch.send_signal(signal.SIGINT)
    assert watch.wait(timeout=30) == 130
    assert (watch.stdout.read(), watch.stderr.read()) == ("", "")


def test_watch_ends_when_the_gallery_is_gone(tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    watch = spawn("status", "g", "--watch", "--every", "0.05", cwd=tmp_path)
    assert watch.stdout
    assert watch.stderr
    assert "g version 1 registered by" in watch.stdout.readline()
    shutil.rmtree(tmp_path / ".skipfill" / "galleries" / "g")
    assert watch.wait(timeout=30) == 2
    assert watch.stderr.read().startswith("error: gallery: expected a known gallery")


def test_watch_needs_a_gallery(skipfill: Skipfill) -> None:
    skipfill("init")
    assert "expected the gallery to watch" in skipfill("status", "--watch", expect=2).err


def test_all_of_it_on_object_storage(skipfill: Skipfill, registered: World, url: str) -> None:
    there = ["--store", url]
    skipfill("init", *there)
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 1, "--quiet")
    for name in ("v1", "v2"):
        skipfill("model", "export", name, "-o", f"{name}.skipfill")
        skipfill("model", "add", f"{name}.skipfill", *there)
        assert not skipfill("model", "add", f"{name}.skipfill", "--json", *there).document["new"]
        skipfill("model", "export", name, "-o", f"{name}-again", *there)
        assert Path(f"{name}-again").read_bytes() == Path(f"{name}.skipfill").read_bytes()
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "v1", *there)
    skipfill("swap", "things", "v2", "--without-check", "small", *there)
    served = released(url, "things")
    assert (served.model, served.version, served.changed()) == ("v2", 2, False)
    assert served.encode(np.ones((2, 16), np.float32)).shape == (2, 8)
    found = skipfill("status", "things", "--json", *there).document
    copied = json.loads(open_store(address(url)).get("galleries/things/release.json"))
    assert copied == {"format": 1, "gallery": "things", "version": found["version"]}
    skipfill("rollback", "things", *there)
    assert served.changed()
