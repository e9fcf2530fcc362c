"""Files registered as they are now: what came, went and changed; the release kept, older checks void."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput, Stale
from skipfill.store.galleries.log import history, latest
from skipfill.store.galleries.refresh import refresh_gallery
from skipfill.store.galleries.register import add_gallery
from skipfill.store.galleries.row_marks import RowChanges
from skipfill.store.galleries.verify import reread_gallery
from skipfill.store.maintenance.prune import leftovers
from skipfill.store.models.cards import load_card
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.spaces import Space
from tests.conftest import Skipfill, World, tree, write_vectors
from tests.store.stores import store_with, swap

PART = "part-0000.parquet"


def night(folder: Path) -> None:
    """Rewrite the gallery's file: 10 rows went, 7 came, 5 changed."""
    vectors = np.random.default_rng(0).normal(size=(100, 4))[10:]
    vectors[:5] += 1
    new = np.random.default_rng(1).normal(size=(7, 4))
    write_vectors(folder / PART, np.concatenate([vectors, new]), np.arange(10, 107))


def test_a_rewritten_file_is_registered_as_it_is_now(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    swap(objects, "g", load_card(objects, "v2"), "test")
    night(tmp_path)
    before = tree(tmp_path)
    planned = refresh_gallery(objects, "g", dry_run=True)
    assert (planned.gallery.version.number, planned.rows) == (3, RowChanges(7, 10, 5))
    assert tree(tmp_path) == before
    done = refresh_gallery(objects, "g", reason="nightly")
    assert done.rows == RowChanges(7, 10, 5)
    now = latest(objects, "g")
    assert (now.action, now.rows, now.reason, now.number) == ("refreshed", 97, "nightly", 3)
    assert now.release is not None
    assert now.release.model == "v2"
    assert len({one.state for one in history(objects, "g")}) == 3  # no check of one counts for another
    reread_gallery(objects, "g")
    rollback(objects, "g")
    assert (latest(objects, "g").release, latest(objects, "g").rows) == (None, 97)
    assert leftovers(objects) == []


def test_nothing_changed_writes_nothing(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100, 3)
    before = tree(tmp_path)
    for path in tmp_path.glob("*.parquet"):
        os.utime(path)
    done = skipfill("gallery", "refresh", "g", "--json").document
    assert (done["changed"], done["row_changes"]) == (False, {"came": 0, "went": 0, "changed": 0})
    assert done["version"]["number"] == 1
    assert "Nothing changed in g" in skipfill("gallery", "refresh", "g").out
    assert tree(tmp_path) == before


def test_other_files_replace_the_list(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100, 2)
    vectors = np.random.default_rng(9).normal(size=(5, 4))
    write_vectors(tmp_path / "last.parquet", vectors, np.arange(500, 505))
    said = skipfill("gallery", "refresh", "g", "part-0001.parquet", "last.parquet")
    assert "5 rows added, 50 removed, 0 changed" in said.out
    assert "skipfill check g MODEL" in said.err
    assert [Path(one.path).name for one in reread_gallery(objects, "g").files] == ["part-0001.parquet", "last.parquet"]
    assert "refreshed" in skipfill("history", "g").out


def test_labels_and_the_order_of_rows(tmp_path: Path) -> None:
    """A row is its id, its vector and its label, wherever it lies."""
    objects = store_with(tmp_path, 1)
    vectors, ids = np.random.default_rng(0).normal(size=(6, 4)), ["a", "b", "ba", "ab", "", "ü"]
    path = write_vectors(tmp_path / "named.parquet", vectors, ids, ["x", "", None, "x", "y", "z"])
    add_gallery(objects, "named", [path], Columns(label="label"), Space("other", 0), None)
    turned = [ids[::-1], ["z", "y", "x", None, "", "x"]]
    write_vectors(path, vectors[::-1], *turned)
    assert refresh_gallery(objects, "named").rows == RowChanges(0, 0, 0)
    assert latest(objects, "named").number == 2
    write_vectors(path, vectors[::-1], turned[0], ["z", "y", "x", "", None, "x"])
    assert refresh_gallery(objects, "named").rows == RowChanges(0, 0, 2)


def test_the_state_changes_also_where_size_and_footer_do_not(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    table = pq.read_table(tmp_path / PART)
    pq.write_table(table, tmp_path / PART, **plain)
    assert refresh_gallery(objects, "g").rows == RowChanges(0, 0, 0)
    first = reread_gallery(objects, "g")
    order = [1, 0, *range(2, 100)]
    pq.write_table(table.set_column(1, "vector", table["vector"].take(pa.array(order))), tmp_path / PART, **plain)
    assert refresh_gallery(objects, "g").rows == RowChanges(0, 0, 2)
    second = reread_gallery(objects, "g")
    assert (first.files[0].bytes, first.files[0].footer) == (second.files[0].bytes, second.files[0].footer)
    assert first.version.state != second.version.state


def test_a_check_made_before_no_longer_counts(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("check", "things", "v2", "--items", with_v2.known, "--metric", "mAP", "--accept-worse", "unseen")
    pq.write_table(pq.read_table("gallery.parquet").slice(1), "gallery.parquet")
    skipfill("gallery", "refresh", "things")
    assert "expected a passing check of v2, found none" in skipfill("swap", "things", "v2", expect=1).err


def test_makers_of_files_stay(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("encode", "v2", with_v2.heldout, "-o", "new.parquet", "--onto", "v1")
    skipfill("gallery", "append", "things", "new.parquet")
    before = skipfill("gallery", "show", "things", "--json").document["files"]
    table = pq.read_table("gallery.parquet")
    pq.write_table(table.slice(1), "gallery.parquet")
    after = skipfill("gallery", "refresh", "things", "--json").document
    assert [one["model"] for one in after["files"]] == [one["model"] for one in before] == ["", "v2"]
    assert after["row_changes"] == {"came": 0, "went": 1, "changed": 0}


def test_rows_that_were_not_kept_count_of(tmp_path: Path) -> None:
    """As of a gallery that an earlier release registered."""
    objects = store_with(tmp_path, 100)
    for path in (tmp_path / ".skipfill" / "galleries" / "g" / "rows").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    night(tmp_path)
    assert refresh_gallery(objects, "g").rows is None
    assert refresh_gallery(objects, "g").rows == RowChanges(0, 0, 0)


def no_rows_twice(folder: Path) -> None:
    write_vectors(folder / PART, np.ones((2, 4)), [1, 1])


def other_dimension(folder: Path) -> None:
    write_vectors(folder / PART, np.ones((2, 5)), [1, 2])


def not_a_number(folder: Path) -> None:
    write_vectors(folder / PART, np.full((2, 4), np.nan), [1, 2])


def gone(folder: Path) -> None:
    (folder / PART).unlink()


@pytest.mark.parametrize("spoil", [no_rows_twice, other_dimension, not_a_number, gone])
def test_what_cannot_be_searched_is_refused(skipfill: Skipfill, tmp_path: Path, spoil: object) -> None:
    assert callable(spoil)
    store_with(tmp_path, 100)
    spoil(tmp_path)
    before = tree(tmp_path)
    skipfill("gallery", "refresh", "g", expect=2)
    assert tree(tmp_path) == before


def test_a_swap_while_the_rows_are_read_stays_and_another_refresh_does_not(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    card = load_card(objects, "v2")
    night(tmp_path)

    def meanwhile(rows: int) -> None:
        refresh_gallery(objects, "g")

    with pytest.raises(Stale, match=r"version 2 by .* refreshed its files"):
        refresh_gallery(objects, "g", progress=meanwhile)
    last = tmp_path / "last.parquet"
    pq.write_table(pq.read_table(tmp_path / PART).slice(1), last)
    refresh_gallery(objects, "g", [last], progress=lambda rows: swap(objects, "g", card, "meanwhile") and None)
    now = latest(objects, "g")
    assert (now.number, now.rows, now.release and now.release.model) == (4, 96, "v2")


def test_no_gallery(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a known gallery"):
        refresh_gallery(store_with(tmp_path, 100), "h")
