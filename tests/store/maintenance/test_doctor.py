"""Prune removes what nothing refers to and nothing else; doctor names what is wrong; a drop ends a gallery."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import Stale
from skipfill.store.galleries.log import history, latest
from skipfill.store.galleries.register import add_gallery
from skipfill.store.maintenance.prune import leftovers, prune
from skipfill.store.models.cards import load_card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.swap import apply_plan, plan_swap
from skipfill.store.spaces import Space
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, spawn, tree
from tests.store.stores import card, store_with, swap, trained_ids

STORE = Path(".skipfill")
LEFT = {
    "store.json#1": "an interrupted write",
    "galleries/g/versions/0000000002.json#3": "an interrupted write",
    "training/v8/checkpoint.safetensors#5": "an interrupted write",
    "aside/galleries/g/files/def.json": "set aside by an interrupted prune",
    "aside/galleries/g/files/def.json#6": "an interrupted write",
    "models/v9/weights-0123.safetensors": "a model file without a card",
    "models/v2/weights-0123.safetensors": "a model file without a card",
    "checks/g/abc/queries.parquet": "an interrupted check",
    "galleries/g/files/abc.json": "a file list that no version uses",
    "galleries/half/files/abc.json": "a file list that no version uses",
    "spaces/nobody.json": "a space that no gallery and no model uses",
    "training/v2/checkpoint.safetensors": "a checkpoint of a finished training",
}
KEPT = ["training/v8/checkpoint.safetensors", "notes.txt", "galleries/g/release.json", "models/v2/deeper/file.bin"]


def write(root: Path, keys: list[str], *, hours: float = 2) -> None:
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"12345")
        os.utime(root / key, (time.time() - 3600 * hours,) * 2)


def test_prune_removes_what_nothing_refers_to(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    swap(open_store(STORE), "g", load_card(open_store(STORE), "v2"), "test")
    write(STORE, KEPT)
    before = tree(tmp_path)
    write(STORE, list(LEFT))
    write(STORE, ["models/v7/card.json#2"], hours=0.5)
    named = skipfill("prune", "--json").document
    assert {one["key"]: one["why"] for one in named["leftovers"]} == LEFT
    assert (named["bytes"], named["dry_run"]) == (5 * len(LEFT), True)
    shown = skipfill("prune", "--cache")
    assert "models/v9/weights-0123.safetensors" in shown.out
    assert "files younger than an hour: 1 leftover file (5 bytes). To remove them too, while no other" in shown.err
    assert "runs: skipfill prune --yes --all-ages --cache\n" in shown.err
    looked = skipfill("doctor", expect=1).out
    assert "See: skipfill prune. It keeps 1 younger than an hour, unless --all-ages is given." in looked
    assert len(tree(tmp_path)) == len(before) + len(LEFT) + 1
    removed = skipfill("prune", "--yes", "--json").document
    assert ([one["key"] for one in removed["leftovers"]], removed["dry_run"]) == (sorted(LEFT), False)
    assert tree(tmp_path) == {**before, ".skipfill/models/v7/card.json#2": b"12345"}
    left = skipfill("doctor", "--json").document["leftovers"]
    assert [(one["key"], one["young"]) for one in left] == [("models/v7/card.json#2", True)]
    assert "Kept" not in skipfill("prune", "--yes", "--quiet").err
    assert "Kept" not in skipfill("prune", "--yes", "--all-ages").err
    assert tree(tmp_path) == before
    assert "It keeps" not in skipfill("doctor").out
    assert skipfill("doctor", "--json").document["leftovers"] == []


def test_of_two_prunes_at_once_both_succeed(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    before = tree(tmp_path)
    write(objects.root, [f"galleries/g/files/{number}.json" for number in range(200)])
    racers = [spawn("prune", "--yes", cwd=tmp_path) for _ in range(2)]
    ended = [(racer.communicate(timeout=120)[1], racer.returncode) for racer in racers]
    assert [code for _, code in ended] == [0, 0], ended
    # What one has moved out of the way while the other looks for references may be put back: it is there next time.
    assert spawn("prune", "--yes", cwd=tmp_path).wait(timeout=120) == 0
    assert tree(tmp_path) == before


def test_what_a_damaged_card_or_version_might_refer_to_is_kept(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    root = objects.root
    for damaged in ("models/v2/card.json", "galleries/g/versions/0000000001.json"):
        (root / damaged).write_text("{")
    before = tree(root)
    assert prune(objects, all_ages=True) == []
    assert tree(root) == before


def test_what_a_killed_run_left_is_not_pruned_from_under_the_next_one(tmp_path: Path) -> None:
    """Staged files are written again when they are there, so that they are young when a running prune looks."""
    objects = store_with(tmp_path, 100)
    for path in objects.root.rglob("*"):
        os.utime(path, (time.time() - 7200,) * 2)
    for key in ("models/v2/card.json", "galleries/g/versions/0000000001.json"):
        (objects.root / key).unlink()  # as if killed just before
    assert {one.young for one in leftovers(objects)} == {False}
    add_gallery(objects, "g", sorted(tmp_path.glob("part-*.parquet")), Columns(), Space("old", 0), None)
    save_model(objects, card("v2"), b"v2", trained_ids())
    assert leftovers(objects) == []
    for key in ("models/v2/card.json", "galleries/g/versions/0000000001.json"):
        (objects.root / key).unlink()
    assert {one.young for one in leftovers(objects)} == {True}


def test_a_dropped_gallery_keeps_its_history_and_its_files(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    files = {path: path.read_bytes() for path in tmp_path.glob("*.parquet")}
    assert "expected the name g, found 'h'" in skipfill("gallery", "drop", "g", "--confirm", "h", expect=2).err
    skipfill("gallery", "drop", "g", expect=2)
    assert latest(objects, "g").number == 1
    planned = plan_swap(objects, "g", load_card(objects, "v2"), "test")
    skipfill("gallery", "drop", "g", "--confirm", "g", "--reason", "moved")
    with pytest.raises(Stale, match="was dropped by"):
        apply_plan(objects, planned)
    assert skipfill("status", "--json").document["galleries"] == {}
    for command in (["swap", "g", "v2"], ["rollback", "g"], ["gallery", "show", "g"], ["gallery", "verify", "g"]):
        assert "gallery g was dropped by" in skipfill(*command, expect=4).err
    skipfill("gallery", "drop", "g", "--confirm", "g", expect=4)
    assert [(one.action, one.reason) for one in history(objects, "g")] == [("registered", ""), ("dropped", "moved")]
    (hashes,) = prune(objects, all_ages=True)
    assert hashes.key.startswith("galleries/g/rows/")
    assert skipfill("doctor", "--deep", "--json").document["findings"] == []
    skipfill("gallery", "add", "g", *files, "--space", "old")
    skipfill("swap", "g", "v2", "--without-check", "test")
    assert [one.action for one in history(objects, "g")] == ["registered", "dropped", "registered", "swapped"]
    assert {path: path.read_bytes() for path in tmp_path.glob("*.parquet")} == files


def test_of_a_drop_and_a_swap_at_once_one_wins(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    racers = [
        spawn("gallery", "drop", "g", "--confirm", "g", cwd=tmp_path),
        spawn("swap", "g", "v2", "--without-check", "race", cwd=tmp_path),
    ]
    codes = [(racer.communicate(timeout=120), racer.returncode)[1] for racer in racers]
    actions = [one.action for one in history(objects, "g")][1:]
    if codes == [0, 0]:
        assert actions == ["swapped", "dropped"]
    else:
        assert (sorted(codes), actions) in (([0, 4], ["swapped"]), ([0, 4], ["dropped"]))


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def swapped(objects: ObjectStore) -> None:
    swap(objects, "g", load_card(objects, "v2"), "test")


def first(objects: ObjectStore, pattern: str) -> Path:
    return sorted(objects.root.glob(pattern))[0]


def shorter(objects: ObjectStore) -> None:
    path = first(objects, "../part-*.parquet")
    pq.write_table(pq.read_table(path).slice(1), path)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


VERSION = "galleries/g/versions/000000000{}.json"
SICK: dict[str, tuple[Callable[[ObjectStore], object], str]] = {
    "a changed file": (shorter, "expected the file that gallery g was registered with"),
    "a vanished file": (lambda o: first(o, "../part-*.parquet").unlink(), "found no such file"),
    "a lost file list": (lambda o: first(o, "galleries/g/files/*").unlink(), "expected the file list that was"),
    "a hole in the log": (
        lambda o: (swapped(o), (o.root / VERSION.format(1)).unlink()),
        "found 0000000001.json missing or unexpected",
    ),
    "a damaged version": (lambda o: (o.root / VERSION.format(1)).write_text("{"), "0000000001.json: expected JSON"),
    "a clock going backwards": (
        lambda o: edit(o.root / VERSION.format(1), at="2999-01-01T00:00:00+00:00"),
        "in the future: a clock is wrong",
    ),
    "another model under the released name": (
        lambda o: (swapped(o), edit(o.root / "models/v2/card.json", network={"x": 1})),
        "expected the card as it was saved",
    ),
    "a lost weight": (lambda o: first(o, "models/v2/weights-*").unlink(), "expected SHA-256"),
    "a damaged card": (lambda o: (o.root / "models/v2/card.json").write_text("[]"), "model v2"),
    "a damaged space": (lambda o: (o.root / "spaces/old.json").write_text('{"a": 1}'), "space old"),
    "a damaged report": (
        lambda o: o.put_new("checks/g/abc/report.json", b"{"),
        "check abc of gallery g: ",
    ),
}


@pytest.mark.parametrize("case", SICK)
def test_doctor_names_what_is_wrong(skipfill: Skipfill, tmp_path: Path, case: str) -> None:
    objects = store_with(tmp_path, 100)
    assert skipfill("doctor", "--json").document["verdict"] == "pass"
    make, expected = SICK[case]
    make(objects)
    before = tree(tmp_path)
    document = skipfill("doctor", "--json", expect=1).document
    assert document["verdict"] == "fail"
    problems = [f"{one['where']}: {one['what']}" for one in document["findings"] if one["kind"] == "problem"]
    assert any(expected in one for one in problems), problems
    shown = skipfill("doctor", expect=1)
    assert expected in shown.out
    assert "Traceback" not in shown.err
    assert tree(tmp_path) == before


def test_a_deep_look_reads_every_hash(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    flipped(first(objects, "models/v2/weights-*"))
    assert "No problem found. This was a quick look" in skipfill("doctor").out
    assert "The bundle is damaged" in skipfill("doctor", "--deep", expect=1).out


def test_a_log_that_says_it_is_older_than_it_is_is_noted(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    swapped(objects)
    edit(objects.root / VERSION.format(2), at="2020-01-01T00:00:00+00:00")
    note, forced = skipfill("doctor", "--json").document["findings"]
    assert note["kind"] == forced["kind"] == "note"
    assert "a clock went backwards" in note["what"]
    skipfill("rollback", "g")  # the log's order is by number


def test_doctor_says_what_threads_are_used(skipfill: Skipfill, monkeypatch: pytest.MonkeyPatch) -> None:
    skipfill("init")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    threads = skipfill("doctor", "--json").document["threads"]
    assert threads == {"count": 3, "given": True}
    assert "3, set by OMP_NUM_THREADS" in skipfill("doctor").out
    monkeypatch.delenv("OMP_NUM_THREADS")
    processors = len(os.sched_getaffinity(0))
    assert skipfill("doctor", "--json").document["threads"] == {"count": processors, "given": False}
    assert f"{processors}, or fewer for training" in skipfill("doctor").out
