"""Evidence bound to bytes: a file that is not what was registered, or does not stay what it is, is no evidence."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.gate.check import check_model
from skipfill.compat.gate.inputs import CheckInputs, Policy
from skipfill.compat.progress import Progress
from skipfill.store.errors import Stale
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.file_list import commit_files, following
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.galleries.register import add_gallery
from skipfill.store.galleries.verify import BoundGallery
from skipfill.store.parquet.digests.content import content_digest
from skipfill.store.parquet.pinned import MOST_HELD
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.spaces import Space
from skipfill.store.storage.address import Url
from skipfill.store.storage.client import client
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, World, spawn, tree, write_vectors
from tests.programs.object_storage import network_to
from tests.store.stores import store_at, store_with

GALLERY, PART = Path("gallery.parquet"), "part-0000.parquet"
PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False}
"""So that files with other values of the same length have the same size and the same footer."""
SWAP = ("swap", "things", "v2")


@pytest.fixture
def plain(skipfill: Skipfill, with_v2: World) -> World:
    """The world of `with_v2`, its gallery in a file whose footer says nothing of the values."""
    pq.write_table(pq.read_table(GALLERY), GALLERY, **PLAIN)
    skipfill("gallery", "refresh", "things")
    return with_v2


def exchange_classes(path: Path = GALLERY) -> None:
    """Exchange the vectors of two classes in place."""
    table = pq.read_table(path)
    labels, order = np.array(table["label"].to_pylist()), np.arange(len(table))
    one, other = (np.flatnonzero(labels == name) for name in ("class-01", "class-02"))
    order[one], order[other] = other, one
    vectors = table["vector"].combine_chunks().take(pa.array(order))
    before = path.stat()
    pq.write_table(table.set_column(table.schema.get_field_index("vector"), "vector", vectors), path, **PLAIN)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def check(world: World) -> tuple[object, ...]:
    return ("check", "things", "v2", "--items", world.known, "--metric", "mAP", "--accept-worse", "unseen")


def test_vectors_exchanged_in_place_are_no_evidence(skipfill: Skipfill, plain: World) -> None:
    exchange_classes()
    skipfill("gallery", "verify", "things")  # size and footer are what they were
    before = tree(Path(".skipfill"))
    refused = skipfill(*check(plain), expect=4)
    assert (
        "gallery.parquet: expected the ids, vectors and labels that gallery things was registered with" in refused.err
    )
    assert "skipfill gallery refresh things" in refused.err
    assert tree(Path(".skipfill")) == before


def test_labels_and_ids_are_compared_too(skipfill: Skipfill, plain: World) -> None:
    table = pq.read_table(GALLERY)
    for column in ("id", "label"):
        index = table.schema.get_field_index(column)
        turned = pa.array(table[column].to_pylist()[::-1])
        pq.write_table(table.set_column(index, column, turned), GALLERY, **PLAIN)
        assert "expected the ids, vectors and labels" in skipfill(*check(plain), expect=4).err


def replaced() -> None:
    write_vectors(GALLERY, np.ones((90, 8)), None, ["x"] * 90)


@pytest.mark.parametrize("change", [replaced, GALLERY.unlink], ids=["replaced", "deleted"])
def test_a_file_changed_after_the_check_refuses_the_swap(
    skipfill: Skipfill, with_v2: World, change: Callable[[], None]
) -> None:
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    skipfill(*check(with_v2))
    skipfill("plan", "things", "v2", "-o", "plan.json")
    shutil.copy(GALLERY, "kept")
    change()
    before = tree(Path(".skipfill"))
    for arguments in (SWAP, ("swap", "things", "--plan", "plan.json"), (*SWAP, "--without-check", "test")):
        for options in ((), ("--dry-run",)):
            refused = skipfill(*arguments, *options, expect=4)
            assert "gallery.parquet: expected the file that gallery things was registered with" in refused.err
            assert "skipfill gallery refresh things" in refused.err
    assert tree(Path(".skipfill")) == before
    Path("kept").replace(GALLERY)
    skipfill("swap", "things", "--plan", "plan.json")


class Meanwhile(Progress):
    """Calls `first` when the queries are looked up, and `then` when the next stage begins."""

    def __init__(self, first: Callable[[], object], then: Callable[[], object]) -> None:
        self._calls = [then, first]

    def start(self, what: str, total: int) -> None:
        if self._calls and (len(self._calls) == 1 or what == "looking up the queries"):
            self._calls.pop()()

    def advance(self, count: int) -> None:
        pass


def other_in_place() -> None:
    shutil.copy(GALLERY, "kept")
    exchange_classes()


def put_back_in_place() -> None:
    before = GALLERY.stat()
    shutil.copyfile("kept", GALLERY)
    os.utime(GALLERY, ns=(before.st_atime_ns, before.st_mtime_ns))


def other_instead() -> None:
    shutil.copy(GALLERY, "other")
    exchange_classes(Path("other"))
    GALLERY.rename("kept")
    Path("other").rename(GALLERY)


def put_back() -> None:
    Path("kept").replace(GALLERY)


@pytest.mark.parametrize(
    ("first", "then"), [(other_in_place, put_back_in_place), (other_instead, put_back)], ids=["in place", "by renaming"]
)
def test_a_file_replaced_during_the_check_and_put_back(
    plain: World, first: Callable[[], None], then: Callable[[], None]
) -> None:
    objects = open_store(Path(".skipfill"))
    before = tree(Path(".skipfill"))
    inputs, policy = CheckInputs([plain.known]), Policy("mAP", accept_worse=("unseen",))
    with pytest.raises(Stale, match=r"gallery\.parquet: expected"):
        check_model(objects, "things", "v2", inputs, policy, Meanwhile(first, then))
    assert tree(Path(".skipfill")) == before
    check_model(objects, "things", "v2", inputs, policy)


@pytest.mark.parametrize("which", ["queries.parquet", "rows.parquet", "judged.tsv", "judged.parquet"])
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "by renaming"])
def test_queries_items_and_judgements_that_change_during_the_check(
    with_v2: World, tmp_path: Path, which: str, in_place: bool
) -> None:
    """Nothing is saved."""
    shutil.copy(with_v2.heldout, "queries.parquet")
    shutil.copy(with_v2.gallery_items, "rows.parquet")
    labels = {one["id"]: one["label"] for one in pq.read_table(GALLERY).to_pylist()}
    asked = pq.read_table("queries.parquet").to_pylist()
    pairs = [(one["id"], row, 1) for one in asked for row, label in labels.items() if label == one["label"]]
    Path("judged.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{row}\t{grade}\n" for q, row, grade in pairs)
    )
    columns = zip(("query_id", "row_id", "grade"), zip(*pairs, strict=True), strict=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns}), "judged.parquet")

    def change() -> None:
        other = Path("other")
        shutil.copy(which, other)
        if not in_place:
            other.replace(which)
        else:
            Path(which).write_bytes(other.read_bytes())

    judged = which if which.startswith("judged") else "judged.tsv"
    inputs = CheckInputs([Path("queries.parquet")], [Path("rows.parquet")], "", "judgements", Path(judged))
    objects, before = open_store(Path(".skipfill")), tree(Path(".skipfill"))
    with pytest.raises(Stale, match=f"{which}: expected one state of the file"):
        check_model(objects, "things", "v2", inputs, Policy("mAP"), Meanwhile(change, lambda: None))
    assert tree(Path(".skipfill")) == before
    check_model(objects, "things", "v2", inputs, Policy("mAP"))


def spoiled(path: Path) -> None:
    """NaN, and an id twice."""
    vectors = np.ones((100, 4))
    vectors[3] = np.nan
    write_vectors(path, vectors, [1, *range(1, 100)])


def spoiled_in_place(path: Path) -> None:
    spoiled(path.parent / "other.parquet")
    shutil.copyfile(path.parent / "other.parquet", path)


def spoiled_by_renaming(path: Path) -> None:
    spoiled(path.parent / "other")
    (path.parent / "other").replace(path)


@pytest.mark.parametrize("spoil", [spoiled_in_place, spoiled_by_renaming])
def test_what_is_registered_is_what_was_verified(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """A file replaced between the reading of its rows and its fingerprint."""
    objects = store_with(tmp_path, 100)
    path = write_vectors(tmp_path / "more.parquet", np.ones((100, 4)), np.arange(1000, 1100))
    before = tree(tmp_path / ".skipfill")

    def meanwhile(rows: int) -> None:
        spoil(path)

    changed = r"more\.parquet: expected one state of the file from beginning to end"
    with pytest.raises(Stale, match=changed):
        add_gallery(objects, "h", [path], Columns(), Space("old", 0), None, meanwhile)
    write_vectors(path, np.ones((100, 4)), np.arange(1000, 1100))
    with pytest.raises(Stale, match=changed):
        append_rows(objects, "g", [path], progress=meanwhile)
    assert tree(tmp_path / ".skipfill") == before


def read_all(objects: ObjectStore, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Read gallery g as a check does: twice, the second time only some rows, with `meanwhile` between."""
    bound = BoundGallery.of(open_gallery(objects, "g"))
    rows = bound.gallery.rows
    ids = pa.concat_arrays([block.ids for block in rows.blocks()])
    meanwhile()
    some = ids.slice(0, 10)
    assert pa.concat_arrays([block.ids for block in rows.restricted(some, 10).blocks()]).equals(some)
    bound.confirm()


def test_more_files_than_are_held_open(tmp_path: Path) -> None:
    """The last one is opened again for the second pass, and is another one then."""
    objects = store_with(tmp_path, 4 * (MOST_HELD + 5), MOST_HELD + 5)
    read_all(objects)
    last = max(tmp_path.glob("*.parquet"))
    with pytest.raises(Stale, match=last.name):
        read_all(objects, lambda: spoiled(last))


def test_a_file_that_no_pass_reads_to_its_end_is_compared_at_the_end(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    path = tmp_path / "plain.parquet"
    table = pq.read_table(tmp_path / PART)
    pq.write_table(table, path, **PLAIN)
    add_gallery(objects, "plain", [path], Columns(), Space("old", 0), None)
    pq.write_table(table.set_column(1, "vector", table["vector"].combine_chunks()[::-1]), path, **PLAIN)
    bound = BoundGallery.of(open_gallery(objects, "plain"))
    next(bound.gallery.rows.blocks())
    with pytest.raises(Stale, match="expected the ids, vectors and labels"):
        bound.confirm()


def test_digests_of_earlier_releases_are_compared_as_they_were_made(tmp_path: Path) -> None:
    """Stored digests: neither kind may ever change."""
    ids, labels, vectors = ["a", "b", "ü"], ["x", None, "z"], np.arange(1, 7, dtype="<f4").reshape(3, 2)
    path = write_vectors(tmp_path / PART, vectors, ids, labels)
    block = next(StoredRows.open([path], Columns(label="label"), None).blocks())
    old, new, newest = content_digest("0" * 64), content_digest("v2:" + "0" * 64), content_digest()
    for digest in (old, new, newest):
        digest.update(block)
    listing = vectors.tobytes() + json.dumps(ids).encode() + json.dumps(labels).encode()
    assert old.result() == hashlib.sha256(listing).hexdigest()
    streams = {
        "vectors": vectors.tobytes(),
        "ids": np.array([1, 1, 2], "<i4").tobytes(),
        "id bytes": "abü".encode(),
        "labels": np.array([1, -1, 1], "<i4").tobytes(),
        "label bytes": b"xz",
    }
    lines = [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in streams.items()]
    assert new.result() == newest.result() == "v2:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_an_old_digest_is_kept_where_nothing_changed_and_still_refuses_what_did(
    skipfill: Skipfill, tmp_path: Path
) -> None:
    objects = store_with(tmp_path, 100)
    gallery = open_gallery(objects, "g")
    digest = content_digest("0" * 64)
    for block in gallery.rows.blocks():
        digest.update(block)
    files = [replace(gallery.files[0], content=digest.result())]
    now = gallery.version
    commit_files(objects, "g", following(now, now, "g", "appended", files, ""), files, gallery.space)
    read_all(objects)
    for spelled in ([], [PART], [f"./{PART}"], [f"../{tmp_path.name}/{PART}"], [str(tmp_path / PART)]):
        assert skipfill("gallery", "refresh", "g", *spelled, "--json").document["changed"] is False
    files = [replace(files[0], content="0" * 64)]
    now = open_gallery(objects, "g").version
    commit_files(objects, "g", following(now, now, "g", "appended", files, ""), files, gallery.space)
    with pytest.raises(Stale, match="expected the ids, vectors and labels"):
        read_all(objects)


def test_a_digest_does_not_depend_on_blocks(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(10, 3))
    ids, labels = [f"i{i}" for i in range(10)], ["x", None, "", "ü"] * 2 + ["y", "z"]
    results = set()
    for groups in (10, 3, 1):
        pq.write_table(
            pq.read_table(write_vectors(tmp_path / PART, vectors, ids, labels)), tmp_path / PART, row_group_size=groups
        )
        rows, digest = StoredRows.open([tmp_path / PART], Columns(label="label"), None), content_digest()
        file = rows.open_file(tmp_path / PART)
        for batch in file.iter_batches(groups, rows.columns.names):
            digest.update(rows.block(batch, tmp_path / PART, 0))
        results.add(digest.result())
    assert len(results) == 1


def test_an_object_replaced_during_the_check(url: str, tmp_path: Path) -> None:
    """By its etag, which every request for a part of it names."""
    bucket = Url(url.removesuffix("/team/store"))
    objects, files = store_at(url, tmp_path), client(bucket)
    obstore.put(files, "rows/a.parquet", tmp_path / PART)
    add_gallery(objects, "h", [bucket / "rows/a.parquet"], Columns(), Space("old", 0), None)
    spoiled(tmp_path / "other.parquet")

    bound = BoundGallery.of(open_gallery(objects, "h"))
    for _ in bound.gallery.rows.blocks():
        pass
    bound.confirm()
    obstore.put(files, "rows/a.parquet", tmp_path / "other.parquet")
    with pytest.raises(Stale, match=r"rows/a\.parquet: expected one state"):
        list(bound.gallery.rows.blocks())
    with pytest.raises(Stale, match=r"rows/a\.parquet: expected one state"):
        bound.confirm()
    obstore.put(files, "rows/b.parquet", tmp_path / PART)
    with pytest.raises(Stale, match=r"rows/b\.parquet: expected one state"):
        add_gallery(
            objects,
            "i",
            [bucket / "rows/b.parquet"],
            Columns(),
            Space("old", 0),
            None,
            lambda rows: obstore.put(files, "rows/b.parquet", tmp_path / "other.parquet") and None,
        )


def test_a_swap_makes_one_request_a_file(
    skipfill: Skipfill, server: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Url(url.removesuffix("/team/store"))
    objects, files = store_at(url, tmp_path), client(bucket)
    for index in range(3):
        path = write_vectors(tmp_path / "a.parquet", np.ones((2, 4)), [2 * index, 2 * index + 1])
        obstore.put(files, f"rows/{index}.parquet", path)
    add_gallery(objects, "h", [bucket / "rows"], Columns(), Space("old", 0), None)
    with network_to(server) as network:
        monkeypatch.setenv("AWS_ENDPOINT_URL", network.url)
        in_another_process = spawn("swap", "h", "v2", "--without-check", "test", "--store", url, cwd=tmp_path)
        in_another_process.communicate(timeout=60)
        assert in_another_process.returncode == 0
        of_files = sorted(request for request in network.requests if "/rows/" in request)
    assert [request.split()[0] for request in of_files] == ["HEAD"] * 3
    assert len(set(of_files)) == 3


def test_an_object_replaced_after_the_check_refuses_the_swap(skipfill: Skipfill, url: str, tmp_path: Path) -> None:
    bucket = Url(url.removesuffix("/team/store"))
    objects, files = store_at(url, tmp_path), client(bucket)
    obstore.put(files, "rows/a.parquet", tmp_path / PART)
    add_gallery(objects, "h", [bucket / "rows/a.parquet"], Columns(), Space("old", 0), None)
    forced = ("swap", "h", "v2", "--without-check", "test", "--store", url)
    obstore.put(files, "rows/a.parquet", write_vectors(tmp_path / "other.parquet", np.ones((100, 4)), range(100)))
    assert "a.parquet: expected the file that gallery h was registered with" in skipfill(*forced, expect=4).err
    obstore.delete(files, "rows/a.parquet")
    assert "found no such file" in skipfill(*forced, expect=4).err
    obstore.put(files, "rows/a.parquet", tmp_path / PART)
    skipfill(*forced)
