"""Overlays against a dictionary that does the same."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.overlays import local_copies
from skipfill.store.overlays.add import add_rows
from skipfill.store.overlays.compact import MOST_SMALL
from skipfill.store.overlays.log import newest_entry
from skipfill.store.overlays.overlay import open_overlay
from skipfill.store.overlays.part import Part
from skipfill.store.storage.address import address
from skipfill.store.storage.location import init_store
from skipfill.store.storage.object_store import ObjectStore
from tests.store.overlays.rows import BY, DIM, add, held, vectors_of


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A store on both kinds of places."""
    place = str(tmp_path / ".skipfill") if request.param == "folder" else str(request.getfixturevalue("url"))
    return init_store(address(place))


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    return init_store(tmp_path / ".skipfill")


@pytest.mark.parametrize("kind", [str, int])
@pytest.mark.parametrize("mapped", [False, True])
def test_an_overlay_holds_what_a_dictionary_would(
    folder: ObjectStore, kind: type, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if mapped:
        monkeypatch.setattr(local_copies, "LARGEST_IN_MEMORY", 0)
    random = np.random.default_rng(0)
    by_content: dict[tuple[object, int], list[float]] = {}
    newest: dict[object, list[float]] = {}
    for _ in range(2 * MOST_SMALL + 3):  # compacted twice
        keys = [(kind(random.integers(60)), int(random.integers(3))) for _ in range(random.integers(1, 9))]
        new = 0
        for key, vector in zip(keys, vectors_of(keys).tolist(), strict=True):
            if key not in by_content:
                by_content[key] = newest[key[0]] = vector
                new += 1
        done = add(folder, keys)
        assert (done.added, done.already) == (new, len(keys) - new)
        overlay = open_overlay(folder, "g", BY, DIM)
        assert overlay.rows == done.overlay.rows == len(by_content)
    for opened in (overlay, done.overlay):
        for number in range(70):
            key = kind(number)
            assert held(opened, key, None) == newest.get(key)
            for content in range(4):
                assert held(opened, key, content) == by_content.get((key, content))
    assert mapped == any((tmp_path / "cache").rglob("*.arrow"))
    entry = newest_entry(folder, "g", BY)
    assert entry is not None
    assert len(entry.files) <= MOST_SMALL + 1


def test_an_empty_overlay(folder: ObjectStore) -> None:
    overlay = open_overlay(folder, "g", BY, DIM)
    assert (overlay.version, overlay.rows) == (0, 0)
    assert overlay.places(pa.array(["a"])).tolist() == [-1]
    assert overlay.vectors(np.array([], np.int64)).shape == (0, DIM)
    with pytest.raises(IndexError, match="found -1 to -1"):
        overlay.vectors(np.array([-1]))


def test_ids_of_another_type_are_none_of_the_overlay(folder: ObjectStore) -> None:
    overlay = add(folder, [("1", 0)]).overlay
    assert overlay.places(pa.array([1])).tolist() == [-1]
    assert overlay.places(pa.array(["1", "1"], pa.large_string())).tolist() == [0, 0]


def test_an_opened_overlay_never_changes(folder: ObjectStore) -> None:
    before = add(folder, [("a", 0)]).overlay
    after = add(folder, [("a", 1), ("b", 0)]).overlay
    assert (before.rows, before.version, after.rows, after.version) == (1, 1, 3, 2)
    assert held(before, "a", None) == held(after, "a", 0) != held(after, "a", None) == held(after, "a", 1)


def test_ids_whose_hashes_are_equal_are_told_apart() -> None:
    ids, digests = pa.array(["a", "b", "a", "c"]), np.array([1, 1, 2, 1], np.uint64)
    part = Part(np.zeros(4, np.uint64), digests, ids, np.eye(4, dtype=np.float32))
    asked, nothing = pa.array(["c", "a", "b", "x"]), np.zeros(4, np.uint64)
    assert part.places(asked, nothing, None).tolist() == [3, 2, 1, -1]
    assert part.places(asked, nothing, np.array([1, 1, 2, 1], np.uint64)).tolist() == [3, 0, -1, -1]


def test_writers_at_once_lose_nothing_and_write_nothing_twice(objects: ObjectStore) -> None:
    wrong: list[BaseException] = []
    added: list[int] = []

    def write(number: int) -> None:
        try:
            for turn in range(6):
                done = add(objects, [(f"r{row}", 0) for row in range(5 * turn + number, 5 * turn + number + 8)])
                added.append(done.added)
        except BaseException as error:
            wrong.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not wrong
    overlay = open_overlay(objects, "g", BY, DIM)
    assert overlay.rows == sum(added) == 35  # r0 to r34, each once
    for row in range(35):
        assert held(overlay, f"r{row}", 0) == vectors_of([(f"r{row}", 0)])[0].tolist()


@pytest.mark.parametrize(
    ("ids", "digests", "vectors"),
    [
        (pa.array(["a"]), np.zeros(2, np.uint64), np.ones((1, DIM), np.float32)),
        (pa.array(["a"]), np.zeros(1, np.int64), np.ones((1, DIM), np.float32)),
        (pa.array(["a"]), np.zeros(1, np.uint64), np.full((1, DIM), np.nan, np.float32)),
        (pa.array(["a"]), np.zeros(1, np.uint64), np.ones((1, DIM))),
        (pa.array(["a", None]), np.zeros(2, np.uint64), np.ones((2, DIM), np.float32)),
        (pa.array([1.5]), np.zeros(1, np.uint64), np.ones((1, DIM), np.float32)),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    folder: ObjectStore, ids: pa.Array, digests: np.ndarray, vectors: np.ndarray
) -> None:
    with pytest.raises(BadInput):
        add_rows(folder, "g", BY, ids, digests, vectors)
    assert newest_entry(folder, "g", BY) is None


def test_vectors_of_another_dimension_are_refused(folder: ObjectStore) -> None:
    add(folder, [("a", 0)])
    with pytest.raises(BadInput, match="expected vectors of dimension 6, found dimension 5"):
        open_overlay(folder, "g", BY, 6)


def test_a_damaged_or_missing_file_is_an_error(folder: ObjectStore) -> None:
    add(folder, [("a", 0)])
    assert isinstance(folder.root, Path)
    [file] = folder.root.glob("overlays/g/*/files/*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"x")
    with pytest.raises(BadInput, match="expected the vectors that were added, found other content"):
        open_overlay(folder, "g", BY, DIM)
    file.unlink()
    with pytest.raises(Exception, match="expected a file of the overlay, found none"):
        open_overlay(folder, "g", BY, DIM)


def test_large_overlays_are_cut_into_files(folder: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from skipfill.store.overlays import files

    monkeypatch.setattr(files, "LARGEST", 10 * 4 * DIM)
    keys: list[tuple[object, int]] = [(number, 7) for number in range(35)]
    overlay = add(folder, keys).overlay
    entry = newest_entry(folder, "g", BY)
    assert entry is not None
    assert [file.rows for file in entry.files] == [10, 10, 10, 5]
    places = overlay.places(pa.array([number for number, _ in keys]))
    np.testing.assert_array_equal(overlay.vectors(places), vectors_of(keys))


def test_local_copies_are_bounded_and_not_needed(
    folder: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(local_copies, "LARGEST_IN_MEMORY", 0)
    first = add(folder, [("a", 0)]).overlay
    copies = local_copies.copies_folder()
    size = sum(path.stat().st_size for path in copies.iterdir())
    monkeypatch.setattr(local_copies, "MOST_BYTES", 2 * size)
    for number in range(4):
        overlay = add(folder, [(f"b{number}", 0)]).overlay
    assert len(list(copies.iterdir())) == 2
    assert held(first, "a", 0) == held(overlay, "a", 0) is not None  # mapped files stay readable
    for path in copies.iterdir():
        path.write_bytes(b"half")
    assert open_overlay(folder, "g", BY, DIM).rows == 5
    for path in copies.iterdir():
        path.unlink()
    copies.rmdir()
    copies.write_text("a file where the folder should be")
    assert held(open_overlay(folder, "g", BY, DIM), "b3", 0) is not None


def test_an_entry_of_a_newer_release_is_refused(folder: ObjectStore) -> None:
    add(folder, [("a", 0)])
    assert isinstance(folder.root, Path)
    [entry] = folder.root.glob("overlays/g/*/versions/*.json")
    entry.write_text(entry.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(BadInput, match="expected overlay version format 1 or older, found format 2"):
        open_overlay(folder, "g", BY, DIM)
