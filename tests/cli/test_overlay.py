"""`skipfill overlay`: rows encoded with a newer model, listed, taken back and dropped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skipfill.store.galleries.log import latest
from skipfill.store.models.cards import load_card
from skipfill.store.overlays.overlay import Overlay, open_overlay
from skipfill.store.parquet.vectors import matrix
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World, spawn, tree

ADD = ("overlay", "add", "things", "v2", "--items")


def overlay_of(folder: Path) -> Overlay:
    objects = open_store(folder / ".skipfill")
    card = load_card(objects, "v2")
    return open_overlay(objects, "things", card.fingerprint, card.dim)


def test_rows_are_encoded_once_and_anew_where_their_items_changed(skipfill: Skipfill, with_v2: World) -> None:
    objects = open_store(with_v2.folder / ".skipfill")
    gallery = latest(objects, "things")
    items = pq.read_table(with_v2.gallery_items)
    pq.write_table(items.slice(0, 100), "part.parquet")
    done = skipfill(*ADD, "part.parquet", "--json").document
    assert {key: done[key] for key in ("items", "no_rows", "added", "already", "rows", "version")} == {
        "items": 100,
        "no_rows": 0,
        "added": 100,
        "already": 0,
        "rows": 100,
        "version": 1,
    }
    again = skipfill(*ADD, with_v2.gallery_items, "--items", with_v2.heldout)
    assert f"Added {len(items) - 100:,} vectors by v2; 100 were there" in again.out
    assert f"not rows of the gallery: {pq.read_metadata(with_v2.heldout).num_rows:,} items" in " ".join(
        again.out.split()
    )
    skipfill("encode", "v2", with_v2.gallery_items, "-o", "by_v2.parquet")
    encoded = pq.read_table("by_v2.parquet")
    overlay = overlay_of(with_v2.folder)
    places = overlay.places(encoded.column("id").combine_chunks())
    expected = matrix(encoded.column("vector").combine_chunks(), "by_v2")
    np.testing.assert_allclose(overlay.vectors(places), expected, atol=1e-6)

    vectors = matrix(items.column("vector").combine_chunks(), "items").copy()
    vectors[7] = -vectors[7]
    changed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(items.set_column(1, "vector", changed), "changed.parquet")
    assert skipfill(*ADD, "changed.parquet", "--json").document["added"] == 1
    skipfill("encode", "v2", "changed.parquet", "-o", "changed_by_v2.parquet")
    now = matrix(pq.read_table("changed_by_v2.parquet").column("vector").combine_chunks(), "changed")[7:8]
    overlay = overlay_of(with_v2.folder)
    np.testing.assert_allclose(
        overlay.vectors(overlay.places(items.column("id").combine_chunks()[7:8])), now, atol=1e-6
    )
    assert latest(objects, "things") == gallery


def test_list_show_verify_rollback_and_drop(skipfill: Skipfill, with_v2: World) -> None:
    assert skipfill("overlay", "list", "--json").document["overlays"] == []
    items = pq.read_table(with_v2.gallery_items)
    for start in (0, 50):
        pq.write_table(items.slice(start, 50), "part.parquet")
        skipfill(*ADD, "part.parquet")
    [listed] = skipfill("overlay", "list", "--json").document["overlays"]
    assert (listed["gallery"], listed["model"], listed["rows"], listed["number"]) == ("things", "v2", 100, 2)
    shown = skipfill("overlay", "show", "things", "v2").out
    assert "100 of dimension" in shown
    assert skipfill("overlay", "show", "things", listed["fingerprint"][:8], "--json").document["rows"] == 100
    assert "All 100 vectors in 2 files" in skipfill("overlay", "verify", "things", "v2").out
    done = skipfill("overlay", "rollback", "things", "v2", "--reason", "wrong part")
    assert "has 50 vectors (now version 3)" in " ".join(done.out.split())
    assert "skipfill overlay rollback things v2 --to 2" in " ".join(done.err.split())
    assert "expected an addition to undo" in skipfill("overlay", "rollback", "things", "v2", expect=4).err
    assert "wrong part" in skipfill("overlay", "show", "things", "v2").out
    skipfill("overlay", "rollback", "things", "v2", "--to", 2)
    assert "Nothing to do" in skipfill("overlay", "rollback", "things", "v2", "--to", 2).out
    assert "100 vectors" in skipfill("overlay", "drop", "things", "v2").out
    assert "already" in skipfill("overlay", "drop", "things", "v2").out
    assert skipfill("overlay", "list", "--json").document["overlays"] == []
    assert len(skipfill("prune", "--yes", "--all-ages", "--json").document["leftovers"]) == 2
    assert "were pruned" in skipfill("overlay", "rollback", "things", "v2", "--to", 2, expect=2).err
    skipfill("doctor", "--deep")
    assert "expected a known overlay of gallery things" in skipfill("overlay", "show", "things", "x", expect=2).err


def test_a_damaged_log_is_named_by_the_list(skipfill: Skipfill, with_v2: World) -> None:
    skipfill(*ADD, with_v2.gallery_items)
    [entry] = with_v2.folder.glob(".skipfill/overlays/things/*/versions/*.json")
    entry.write_text("{}")
    listed = skipfill("overlay", "list", expect=2)
    assert "things by" in listed.out
    assert "skipfill doctor" in skipfill("overlay", "show", "things", "v2", expect=2).err


def test_items_that_cannot_be_encoded_are_refused(skipfill: Skipfill, with_v2: World) -> None:
    before = tree(with_v2.folder)
    refused = skipfill(*ADD, with_v2.heldout, expect=2).err
    assert "expected items whose ids are rows of gallery things" in " ".join(refused.split())
    own = skipfill("overlay", "add", "things", "v1", "--items", with_v2.gallery_items, expect=2).err
    assert "expected a model other than v1, whose vectors gallery things holds" in " ".join(own.split())
    pq.write_table(pa.table({"id": ["i0000"], "text": ["a text"]}), "texts.parquet")
    assert "expected a column of vectors" in " ".join(skipfill(*ADD, "texts.parquet", expect=2).err.split())
    Path("texts.parquet").unlink()
    assert tree(with_v2.folder) == before


def test_a_run_that_was_killed_goes_on_where_it_was(skipfill: Skipfill, with_v2: World) -> None:
    """Killed as soon as a version is there, of many: nothing that was committed is encoded again."""
    items = pq.read_table(with_v2.gallery_items)
    copies = [
        items.set_column(0, "id", pc.binary_join_element_wise(items["id"], str(copy), "-")) for copy in range(200)
    ]
    many = pa.concat_tables(copies)
    pq.write_table(many.drop_columns(["label"]), "many.parquet")
    skipfill("encode", "v1", "many.parquet", "-o", "rows.parquet")
    skipfill("gallery", "add", "many", "rows.parquet", "--space", "v1")
    running = spawn("overlay", "add", "many", "v2", "--items", "many.parquet", cwd=with_v2.folder)
    log = with_v2.folder / ".skipfill" / "overlays" / "many"
    deadline = time.monotonic() + 60
    while not list(log.glob("*/versions/*1.json")) and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    objects = open_store(with_v2.folder / ".skipfill")
    card = load_card(objects, "v2")
    before = open_overlay(objects, "many", card.fingerprint, card.dim).rows
    assert before > 0
    done = skipfill("overlay", "add", "many", "v2", "--items", "many.parquet", "--json").document
    assert (done["already"], done["added"]) == (before, len(many) - before)
    skipfill("overlay", "verify", "many", "v2")


def test_an_overlay_outlives_its_model_until_it_is_dropped(skipfill: Skipfill, with_v2: World) -> None:
    """The model may come back: it is known by its fingerprint."""
    skipfill(*ADD, with_v2.gallery_items)
    skipfill("model", "export", "v2", "-o", "v2.skipfill")
    skipfill("model", "drop", "v2", "--confirm", "v2")
    skipfill("prune", "--yes", "--all-ages")
    [finding] = [one for one in skipfill("doctor", "--json").document["findings"] if "overlay" in one["where"]]
    assert finding["kind"] == "note"
    assert "its model v2" in finding["what"]
    fingerprint = skipfill("overlay", "show", "things", "v2", "--json").document["fingerprint"]
    assert f"skipfill overlay drop things {fingerprint[:12]}" in " ".join(skipfill("doctor").out.split())
    skipfill("model", "add", "v2.skipfill")
    rows = pq.read_metadata(with_v2.gallery_items).num_rows
    assert skipfill(*ADD, with_v2.gallery_items, "--json").document["already"] == rows
    skipfill("model", "drop", "v2", "--confirm", "v2")
    skipfill("overlay", "drop", "things", fingerprint[:12])
    assert len(skipfill("prune", "--yes", "--all-ages", "--json").document["leftovers"]) == 1
    assert not [one for one in skipfill("doctor", "--json").document["findings"] if "overlay" in one["where"]]
