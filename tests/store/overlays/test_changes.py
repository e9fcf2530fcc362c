"""Rollback and drop of overlays, prune and doctor with them; in a folder and on S3."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from skipfill.store.errors import BadInput, SkipfillError, Stale
from skipfill.store.galleries.append import append_rows
from skipfill.store.galleries.log import history
from skipfill.store.galleries.refresh import refresh_gallery
from skipfill.store.galleries.register import add_gallery, drop_gallery
from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.maintenance.overlays import drop_orphans
from skipfill.store.maintenance.prune import leftovers, prune
from skipfill.store.models.cards import load_card
from skipfill.store.overlays.change import drop_overlay, roll_back_overlay
from skipfill.store.overlays.compact import MOST_SMALL
from skipfill.store.overlays.listing import newest_entries, overlay_by, overlay_history, verify_overlay
from skipfill.store.overlays.log import newest_entry
from skipfill.store.overlays.overlay import open_overlay
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import write_vectors
from tests.store.overlays.rows import BY, DIM, add, held
from tests.store.stores import store_at, swap


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Gallery g, on both kinds of places."""
    place = str(tmp_path / ".skipfill") if request.param == "folder" else str(request.getfixturevalue("url"))
    return store_at(place, tmp_path)


def actions(objects: ObjectStore) -> list[tuple[str, int, int]]:
    return [(one.action, one.rows, one.undo) for one in overlay_history(objects, "g", BY)]


def test_a_rollback_brings_back_the_version_before_the_last_addition(objects: ObjectStore) -> None:
    add(objects, [("a", 0)])
    add(objects, [("b", 0)])
    assert roll_back_overlay(objects, "g", BY, "wrong items").entry.reason == "wrong items"
    overlay = open_overlay(objects, "g", BY, DIM)
    assert (held(overlay, "a", 0) is not None, held(overlay, "b", 0)) == (True, None)
    with pytest.raises(Stale, match=r"expected an addition to undo, found that version 3 by .* rolled back"):
        roll_back_overlay(objects, "g", BY)
    assert not roll_back_overlay(objects, "g", BY, to=2).already
    assert roll_back_overlay(objects, "g", BY, to=2).already
    assert add(objects, [("b", 0)]).added == 0
    assert add(objects, [("c", 0)]).added == 1
    roll_back_overlay(objects, "g", BY)
    counts = [("added", 1, 0), ("added", 2, 1), ("rolled back", 1, 2), ("rolled back", 2, 3)]
    assert actions(objects) == [*counts, ("added", 3, 4), ("rolled back", 2, 5)]


def test_a_rollback_past_a_compaction(objects: ObjectStore) -> None:
    for number in range(MOST_SMALL + 1):
        add(objects, [(f"r{number}", 0)])
    assert actions(objects)[-1] == ("compacted", MOST_SMALL + 1, MOST_SMALL)
    roll_back_overlay(objects, "g", BY)
    assert open_overlay(objects, "g", BY, DIM).rows == MOST_SMALL
    prune(objects, all_ages=True)
    roll_back_overlay(objects, "g", BY, to=MOST_SMALL + 2)  # the rollback's own undo is kept
    prune(objects, all_ages=True)
    assert open_overlay(objects, "g", BY, DIM).rows == MOST_SMALL + 1
    add(objects, [("x", 0)])
    assert prune(objects, all_ages=True)
    with pytest.raises(BadInput, match="expected the files of version 3, found that they were pruned"):
        roll_back_overlay(objects, "g", BY, to=3)
    assert open_overlay(objects, "g", BY, DIM).rows == MOST_SMALL + 2
    assert leftovers(objects) == []


def test_no_such_overlay_or_version(objects: ObjectStore) -> None:
    for change in (roll_back_overlay, drop_overlay):
        with pytest.raises(BadInput, match="expected an overlay, found none by the model abababababab"):
            change(objects, "g", BY)
    add(objects, [("a", 0)])
    with pytest.raises(BadInput, match="expected an earlier version, found none"):
        roll_back_overlay(objects, "g", BY)
    with pytest.raises(BadInput, match="expected a version from 1 to 1, found 2"):
        roll_back_overlay(objects, "g", BY, to=2)
    with pytest.raises(BadInput, match=r"expected a known overlay of gallery g \(nearest: abababababab\)"):
        overlay_by(objects, "g", "v9")


def test_a_dropped_overlay_can_come_back_until_it_is_pruned(objects: ObjectStore) -> None:
    add(objects, [("a", 0)])
    drop_overlay(objects, "g", BY)
    assert drop_overlay(objects, "g", BY).already
    assert open_overlay(objects, "g", BY, DIM).rows == 0
    assert newest_entries(objects).in_force == []
    roll_back_overlay(objects, "g", BY)
    assert open_overlay(objects, "g", BY, DIM).rows == 1
    drop_overlay(objects, "g", BY)
    [left] = prune(objects, all_ages=True)
    assert left.why == "an overlay file that no version uses"
    with pytest.raises(BadInput, match="pruned"):
        roll_back_overlay(objects, "g", BY, to=1)
    assert add(objects, [("a", 0), ("b", 1)]).added == 2
    assert actions(objects)[-1] == ("added", 2, 4)
    verify_overlay(objects, "g", overlay_by(objects, "g", BY[:12]))


def test_prune_removes_what_no_version_uses_and_nothing_else(objects: ObjectStore) -> None:
    for number in range(MOST_SMALL + 4):
        add(objects, [(f"r{number}", 0)])
    objects.replace(f"overlays/g/{BY[:32]}/files/abc.parquet", b"half")  # a run that was killed
    objects.replace("overlays/g/ffff/files/abc.parquet", b"half")  # the first one ever
    objects.replace("overlays/other/ffff/files/abc.parquet", b"half")  # of no gallery
    assert len(leftovers(objects)) == MOST_SMALL + 1 + 3
    assert prune(objects) == []  # all young
    named = [left.key for left in leftovers(objects)]
    assert [left.key for left in prune(objects, all_ages=True, dry_run=True)] == named
    assert [left.key for left in prune(objects, all_ages=True)] == named
    assert leftovers(objects) == []
    overlay = open_overlay(objects, "g", BY, DIM)
    assert all(held(overlay, f"r{number}", 0) is not None for number in range(MOST_SMALL + 4))


def test_a_damaged_log_keeps_everything(objects: ObjectStore) -> None:
    add(objects, [("a", 0)])
    add(objects, [("b", 0)])
    objects.replace(f"overlays/g/{BY[:32]}/versions/0000000002.json", b"{")
    assert prune(objects, all_ages=True) == []
    found = [finding.what for finding in diagnose(objects).findings if finding.where.startswith("overlay")]
    assert any("expected JSON" in what for what in found)
    assert list(newest_entries(objects).faults) == [f"g by {BY[:12]}"]


def test_overlays_of_a_dropped_gallery_go_with_the_next_prune(objects: ObjectStore, tmp_path: Path) -> None:
    add(objects, [("a", 0)])
    drop_gallery(objects, "g")
    assert diagnose(objects).findings == []
    named = [left.key for left in leftovers(objects)]
    assert len([key for key in named if key.startswith("overlays/")]) == 1
    assert [left.key for left in prune(objects, all_ages=True)] == named
    assert actions(objects) == [("added", 1, 0), ("dropped", 0, 0)]
    files = sorted(tmp_path.glob("part-*.parquet"))
    add_gallery(objects, "g", files, Columns(), Space("old", 0), None)
    assert open_overlay(objects, "g", BY, DIM).rows == 0
    assert add(objects, [("a", 0)]).added == 1
    drop_orphans(objects)
    assert prune(objects, all_ages=True) == []
    assert open_overlay(objects, "g", BY, DIM).rows == 1


def test_doctor_finds_what_is_wrong_with_an_overlay(objects: ObjectStore) -> None:
    add(objects, [("a", 0)])
    [finding] = diagnose(objects, deep=True).findings
    assert (finding.kind, "is not in this store" in finding.what) == ("note", True)  # its model
    [file] = [entry.key for entry in objects.entries("overlays") if "/files/" in entry.key]
    data = objects.get(file)
    objects.replace(file, data[:-1] + b"x")
    assert len(diagnose(objects).findings) == 1
    wrong = [one.what for one in diagnose(objects, deep=True).findings if one.kind == "problem"]
    assert len(wrong) == 1
    assert "expected the vectors that were added, found other content" in wrong[0]
    objects.delete(file)
    for deep in (False, True):
        wrong = [one.what for one in diagnose(objects, deep=deep).findings if one.kind == "problem"]
        assert len(wrong) == 1
        assert "expected a file of the overlay, found none" in wrong[0]
    objects.replace(file, data)
    objects.replace(
        f"overlays/g/{BY[:32]}/versions/0000000003.json", objects.get(f"overlays/g/{BY[:32]}/versions/0000000001.json")
    )
    assert any(one.kind == "problem" for one in diagnose(objects).findings)


def test_an_id_with_two_vectors_of_one_content_is_found(objects: ObjectStore) -> None:
    from dataclasses import replace

    from skipfill.store.overlays.log import commit_entry

    add(objects, [("a", 0)])
    entry = newest_entry(objects, "g", BY)
    assert entry is not None
    forged = commit_entry(objects, "g", replace(entry, number=2, files=entry.files * 2))
    assert forged is not None
    with pytest.raises(BadInput, match="expected one vector of each id and content, found two of id 'a'"):
        verify_overlay(objects, "g", forged)


def test_racing_changes_are_serialisable(objects: ObjectStore) -> None:
    """Additions, rollbacks and drops of one overlay, and prunes, all at once."""
    won: dict[str, list[str]] = {"rolled back": [], "dropped": []}
    added: list[int] = []
    wrong: list[str] = []
    end = time.monotonic() + (3 if isinstance(objects.root, Path) else 6)

    def until_the_end(act: object) -> None:
        turn = 0
        while time.monotonic() < end:
            try:
                act(ObjectStore(objects.root), turn)  # type: ignore[operator]
            except Stale:
                pass
            except BadInput as error:
                if not any(words in str(error) for words in ("were pruned", "found none", "an earlier version")):
                    wrong.append(repr(error))
            except BaseException as error:
                wrong.append(repr(error))
            turn += 1

    def adds(number: int) -> object:
        def act(mine: ObjectStore, turn: int) -> None:
            done = add(mine, [(f"w{number}-{turn}", 0), (f"both-{turn}", 0)])
            assert done.added + done.already == 2
            added.append(done.added)

        return act

    def rolls(mine: ObjectStore, turn: int) -> None:
        done = roll_back_overlay(mine, "g", BY)
        if not done.already:
            won["rolled back"].append(done.entry.commit)
        time.sleep(0.05)

    def drops(mine: ObjectStore, turn: int) -> None:
        time.sleep(0.4)
        done = drop_overlay(mine, "g", BY)
        if not done.already:
            won["dropped"].append(done.entry.commit)

    def reads(mine: ObjectStore, turn: int) -> None:
        overlay = open_overlay(mine, "g", BY, DIM)
        entry = newest_entry(mine, "g", BY)
        if entry is not None and entry.number == overlay.version:
            verify_overlay(mine, "g", entry)

    def prunes(mine: ObjectStore, turn: int) -> None:
        if isinstance(mine.root, Path):  # make what lies there old, as it will be in two hours
            for path in mine.root.glob("overlays/*/*/files/*"):
                if turn % 3 == 0:
                    try:
                        os.utime(path, (time.time() - 7200,) * 2)
                    except OSError:
                        continue
        prune(mine)

    acts = [adds(0), adds(1), rolls, drops, reads, prunes, prunes]
    racers = [threading.Thread(target=until_the_end, args=(act,)) for act in acts]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert not wrong
    log = overlay_history(objects, "g", BY)
    assert {one.commit for one in log if one.action == "dropped"} == set(won["dropped"])
    assert {one.commit for one in log if one.action == "rolled back"} == set(won["rolled back"])
    pairs = list(pairwise(log))
    assert sum(added) == log[0].rows + sum(
        after.rows - before.rows for before, after in pairs if after.action == "added"
    )
    for before, after in pairs:
        digests, following = ([file.digest for file in one.files] for one in (before, after))
        if after.action == "added":
            assert following[: len(digests)] == digests
            assert len(following) > len(digests)
        elif after.action == "rolled back":
            undone = before.number - 1 if before.action == "dropped" else before.undo
            assert after.files == log[undone - 1].files
        elif after.action == "compacted":
            assert after.rows == before.rows
        else:
            assert after.files == []
    verify_overlay(objects, "g", log[-1])
    prune(objects, all_ages=True)
    assert [finding for finding in diagnose(objects, deep=True).findings if finding.kind == "problem"] == []


def test_an_overlay_and_its_gallery_change_at_once(objects: ObjectStore, tmp_path: Path) -> None:
    """Additions by two writers against appends, refreshes, swaps and rollbacks of the gallery: two logs, both whole."""
    wrong: list[BaseException] = []

    def changes(mine: ObjectStore) -> None:
        for turn in range(3):
            more = write_vectors(tmp_path / f"more-{turn}.parquet", np.ones((5, 4)), np.arange(5) + 1000 + 5 * turn)
            append_rows(mine, "g", [more])
            swap(mine, "g", load_card(mine, "v2"), "test")
            refresh_gallery(mine, "g", [tmp_path / "part-0000.parquet"])
            rollback(mine, "g")

    def adds(mine: ObjectStore, writer: int) -> None:
        for turn in range(8):
            add(mine, [(f"w{writer}-{turn}", 0), (f"both-{turn}", 0)])

    def run(act: Callable[..., None], *arguments: int) -> None:
        try:
            act(ObjectStore(objects.root), *arguments)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=one) for one in ((changes,), (adds, 0), (adds, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert open_overlay(objects, "g", BY, DIM).rows == 24
    assert [one.action for one in history(objects, "g")[1:]] == ["appended", "swapped", "refreshed", "rolled back"] * 3
    verify_overlay(objects, "g", overlay_by(objects, "g", BY))


def test_errors_of_a_lost_race_name_the_winner(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from skipfill.store.overlays import change

    add(objects, [("a", 0)])
    real = change.commit_entry

    def second(*arguments: object) -> object:
        monkeypatch.setattr(change, "commit_entry", real)
        add(objects, [("b", 0)])
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(change, "commit_entry", second)
    with pytest.raises(
        SkipfillError, match="overlay of gallery g by abababababab changed meanwhile: version 2"
    ) as lost:
        drop_overlay(objects, "g", BY)
    assert lost.value.exit_code == 4
    assert open_overlay(objects, "g", BY, DIM).rows == 2
