"""The same store on object storage: put-if-absent on S3, races, and a network that throttles, drops and stalls."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.errors import BadInput, SkipfillError, Stale
from skipfill.store.galleries.commit import commit
from skipfill.store.galleries.log import Version, history, latest
from skipfill.store.galleries.register import add_gallery
from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.maintenance.prune import leftovers, prune
from skipfill.store.models.cards import load_card
from skipfill.store.overlays.listing import overlay_history
from skipfill.store.overlays.overlay import open_overlay
from skipfill.store.parquet.remote import RemoteFile
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.rollback import rollback
from skipfill.store.spaces import Space
from skipfill.store.storage import quarantine
from skipfill.store.storage.address import Url, address
from skipfill.store.storage.client import client
from skipfill.store.storage.layout import aside_key
from skipfill.store.storage.location import init_store, open_store
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.quarantine import ensure, set_aside
from tests.conftest import Skipfill, World, spawn, tree
from tests.programs.object_storage import KEY, SECRET, Fault, Network, network_to
from tests.programs.prune_race import look, lost
from tests.store.overlays.rows import BY, DIM, add, held
from tests.store.stores import store_at, swap
from tests.warm import program, run


@pytest.fixture
def network(server: str, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """The way to the server from here on."""
    with network_to(server) as network:
        monkeypatch.setenv("AWS_ENDPOINT_URL", network.url)
        yield network


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place where a store can be made: the same tests on both."""
    return str(tmp_path / ".skipfill") if request.param == "folder" else str(request.getfixturevalue("url"))


def test_an_upgrade_on_object_storage(
    skipfill: Skipfill, world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIPFILL_STORE", url)
    assert skipfill("init", "--json").document["store"] == url
    short = ["--epochs", 3, "--batch", 32]
    skipfill("train", "v1", "--items", world.old_items, "--dim", 8, *short)
    skipfill("encode", "v1", world.gallery_items, "-o", "gallery.parquet")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "v1")
    skipfill("train", "v2", "--items", world.items, "--gallery", "things", *short)
    skipfill("check", "things", "v2", "--items", world.heldout, expect=None)
    skipfill("swap", "things", "v2", "--without-check", "test")
    found = skipfill("search", "things", "--items", world.heldout, "-k", 1, "--json").document
    assert found["model"] == "v2"
    skipfill("rollback", "things")
    assert "v1" in skipfill("status").out
    log = skipfill("history", "things", "--json").document["versions"]
    assert [one["action"] for one in log] == ["registered", "swapped", "rolled back"]
    assert not list(world.folder.rglob("*.json"))  # nothing of the store lies here


def test_the_files_of_a_gallery_are_found_from_any_folder(
    skipfill: Skipfill, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_at(url, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    skipfill("gallery", "verify", "g", "--store", url)


def test_a_gallery_on_object_storage(
    skipfill: Skipfill, world: World, network: Network, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKIPFILL_STORE", url)
    skipfill("init")
    skipfill("train", "v1", "--items", world.old_items, "--dim", 8, "--epochs", 3, "--batch", 32)
    skipfill("encode", "v1", world.gallery_items, "-o", "gallery.parquet")
    table = pq.read_table("gallery.parquet")
    # A column that nobody asks for, much larger than all others together.
    table = table.append_column("photo", pa.array([os.urandom(20_000) for _ in range(len(table))]))
    bucket = Url(url.removesuffix("/team/store"))
    files = client(bucket)
    half = len(table) // 2
    for name, part in (("a", table.slice(0, half)), ("b", table.slice(half))):
        pq.write_table(part, Path("part.parquet"), row_group_size=64)
        obstore.put(files, f"rows/part-{name}.parquet", Path("part.parquet"))
    for path in ("gallery.parquet", "part.parquet"):
        Path(path).unlink()
    size = sum(obstore.head(files, f"rows/part-{name}.parquet")["size"] for name in "ab")
    network.bytes = 0
    skipfill("gallery", "add", "things", f"{bucket}/rows/part-*.parquet", "--space", "v1")
    assert 0 < network.bytes < size / 3
    shown = skipfill("gallery", "show", "things", "--json").document["files"]
    assert [one["path"] for one in shown] == [f"{bucket}/rows/part-{name}.parquet" for name in "ab"]
    assert all(one["etag"] for one in shown)
    skipfill("gallery", "verify", "things")
    skipfill("train", "v2", "--items", world.items, "--gallery", "things", "--epochs", 3, "--batch", 32)
    sliced = ["--slice", "gallery.label = 'class-07'"]
    report = skipfill("check", "things", "v2", "--items", world.heldout, *sliced, "--json", expect=None).document
    assert "check" in report, report
    assert skipfill("search", "things", "--items", world.heldout, "-k", 1, "--json").document["hits"]
    pq.write_table(table.slice(0, 9).set_column(0, "id", pa.array([f"new-{i}" for i in range(9)])), "more.parquet")
    obstore.put(files, "rows/more.parquet", Path("more.parquet"))
    again = skipfill("gallery", "append", "things", f"{bucket}/rows/part-a.parquet", expect=2).err
    assert "expected a file that is not in gallery things yet" in again
    appended = skipfill("gallery", "append", "things", f"{bucket}/rows/more.parquet", "--json").document
    assert appended["version"]["rows"] == len(table) + 9
    obstore.put(files, "rows/part-b.parquet", obstore.get(files, "rows/part-a.parquet").bytes())
    changed = skipfill("search", "things", "--items", world.heldout, "-k", 1, expect=4).err
    assert f"{bucket}/rows/part-b.parquet: expected the file that gallery things was registered with" in changed
    obstore.delete(files, "rows/part-b.parquet")
    assert "found no such file" in skipfill("gallery", "verify", "things", expect=4).err
    assert "found no such object" in skipfill("gallery", "add", "g", f"{bucket}/x", "--space", "v1", expect=2).err
    for given in (f"{bucket}/rows", f"{bucket}/rows/part-a.parquet"):
        skipfill("gallery", "add", "g", given, "--space", "v1", "--dry-run")


def test_a_file_that_changes_while_it_is_read_is_an_error(url: str, tmp_path: Path) -> None:
    bucket = Url(url.removesuffix("/team/store"))
    obstore.put(client(bucket), "file", b"0123456789")
    file = RemoteFile(bucket / "file")
    file.seek(-4, os.SEEK_END)
    assert (file.read(2), file.read(), file.read()) == (b"67", b"89", b"")
    obstore.put(client(bucket), "file", b"9876543210")
    file.seek(0)
    with pytest.raises(BadInput, match="412"):
        file.read(2)


def test_a_taken_key_is_taken(place: str, tmp_path: Path) -> None:
    objects = init_store(address(place))
    assert objects.put_new("a/b", b"mine")
    assert not objects.put_new("a/b", b"another's")
    assert objects.put_new("a/b", b"mine")  # it is there, whoever wrote it
    assert objects.get("a/b") == b"mine"
    with pytest.raises(FileNotFoundError):
        objects.get("a/c")
    assert (objects.after("a", "b"), objects.after("a", "a")) == ([], ["b"])
    assert objects.after("none", "a") == []


WRITERS = """
import os, random, sys, time
from dataclasses import replace
from skipfill.store.storage.address import Url, address
from skipfill.store.storage.layout import aside_key
from skipfill.store.storage.quarantine import ensure, set_aside
from skipfill.store.storage.client import client
from skipfill.store.maintenance.doctor import diagnose
from skipfill.store.errors import Stale
from skipfill.store.storage.location import open_store
from skipfill.store.galleries.commit import commit
from skipfill.store.galleries.log import latest

def write(writer):
    objects = open_store(address(sys.argv[1]))
    since = 1
    for turn in range(int(sys.argv[3])):
        tries = 0
        while True:
            now = latest(objects, "g", since)
            since = now.number
            try:
                commit(objects, "g", replace(now, number=now.number + 1, reason=f"{writer}/{turn}"))
                break
            except Stale:
                tries += 1
                time.sleep(random.uniform(0, float(sys.argv[2]) * min(tries, 8)))

children = []
for writer in range(16):
    child = os.fork()
    if child == 0:
        write(writer)
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_16_processes_lose_none_of_their_commits(place: str, tmp_path: Path) -> None:
    objects = store_at(place, tmp_path)
    pause, turns = (0.2, 6) if place.startswith("s3") else (0.01, 20)
    done = run(WRITERS, [place, pause, turns], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = history(objects, "g")
    assert [one.number for one in log] == list(range(1, 16 * turns + 2))
    kept = [one.reason for one in log[1:]]
    assert sorted(kept) == sorted(f"{writer}/{turn}" for writer in range(16) for turn in range(turns))
    for writer in range(16):  # each in its own order
        assert [one for one in kept if one.startswith(f"{writer}/")] == [f"{writer}/{turn}" for turn in range(turns)]


def test_racing_swaps_and_rollbacks_are_serialisable(place: str, tmp_path: Path) -> None:
    objects = store_at(place, tmp_path)
    lost: list[SkipfillError] = []
    won: list[Version] = []
    start = threading.Barrier(6)

    def race(index: int) -> None:
        mine = ObjectStore(objects.root)
        start.wait()
        for turn in range(8):
            name = ("v2", "v3")[(index + turn) % 2]
            try:
                won.append(rollback(mine, "g") if index % 3 == 0 else swap(mine, "g", load_card(mine, name), "race"))
            except SkipfillError as error:
                lost.append(error)

    racers = [threading.Thread(target=race, args=(index,)) for index in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(won) + len(lost) == 48
    log = history(objects, "g")
    assert {one.commit for one in log[1:]} == {one.commit for one in won}
    for before, after in pairwise(log):  # each followed from the one before it
        if after.action == "swapped":
            assert after.undo == before.number
            assert before.release is None or after.release.fingerprint != before.release.fingerprint
        else:
            undone = log[before.undo - 1]
            assert (after.release, after.undo) == (undone.release, undone.undo)
    stale = [error for error in lost if isinstance(error, Stale)]
    assert stale
    told = ("gallery g changed meanwhile: version", "a swap in force to roll back, found that version")
    assert all(error.exit_code == 4 and any(words in str(error) for words in told) for error in stale)
    others = {str(error).partition("expected ")[2][:7] for error in lost if not isinstance(error, Stale)}
    assert others <= {"a relea", "a swap "}  # so already; no swap to roll back


def test_prune_against_everything(place: str, tmp_path: Path) -> None:
    """Old leftovers are pruned while writers write the very same names again: see tests/programs/prune_race.py."""
    objects = store_at(place, tmp_path)
    with planted_long_ago(place):
        ended = run(program("tests.programs.prune_race"), [place, tmp_path, 2], cwd=tmp_path, timeout=300)
    assert not [path.read_text() for path in tmp_path.glob("wrong-*")]
    assert ended.returncode == 0
    assert lost(objects, tmp_path) == []
    assert list(tmp_path.glob("added-*"))
    # The race releases by force, which is a note where its last swap was not rolled back.
    assert [one for one in diagnose(objects, deep=True).findings if one.kind != "note"] == []
    prune(objects, all_ages=True)
    assert leftovers(objects) == []
    assert lost(objects, tmp_path) == []
    look(objects, 10**6)


def test_an_object_written_again_while_it_is_set_aside_stays(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Object storage copies and deletes: a writer may come between the two."""
    objects = init_store(address(url))
    objects.replace("a", b"left two hours ago")
    memory, bucket = backend(url)
    memory.buckets[bucket].keys["team/store/a"].last_modified -= timedelta(hours=2)
    before = objects.modified("a")
    assert before is not None
    copy = obstore.copy

    def copied_late(*arguments: Any, **options: Any) -> None:
        copy(*arguments, **options)
        objects.replace("a", b"new")

    monkeypatch.setattr(obstore, "copy", copied_late)
    assert not set_aside(objects, "a", before)
    assert objects.get("a") == quarantine.read(objects, "a") == b"new"
    assert not objects.exists(aside_key("a"))


@contextmanager
def planted_long_ago(place: str) -> Iterator[None]:
    """Objects that the writers of the race plant on object storage get old, once, as soon as they are there."""
    ended = threading.Event()

    def age(keys: Callable[[], dict[str, Any]]) -> None:
        seen = set()
        while not ended.wait(0.002):
            for name, key in list(keys().items()):
                if name not in seen and key.size < 10_000 and key.value.endswith(b"\n"):
                    key.last_modified -= timedelta(hours=2)
                    seen.add(name)

    ager = threading.Thread(target=age, args=(lambda: backend(place)[0].buckets[backend(place)[1]].keys,))
    if place.startswith("s3"):
        ager.start()
    yield
    ended.set()
    if ager.is_alive():
        ager.join()


def backend(url: str) -> tuple[Any, str]:
    """The server's own memory, and the name of the bucket."""
    from moto.s3.models import s3_backends

    bucket = url.removeprefix("s3://").partition("/")[0]
    (found,) = [one for by in s3_backends.values() for one in by.values() if bucket in one.buckets]
    return found, bucket


@pytest.mark.parametrize("turn", ["referred to", "written again", "neither"])
def test_what_is_aside_is_read_and_comes_back(place: str, tmp_path: Path, turn: str) -> None:
    """A prune that was killed in the middle, whatever else happened meanwhile."""
    objects = store_at(place, tmp_path)
    key = next(entry.key for entry in objects.entries("galleries") if "/files/" in entry.key)
    data = objects.get(key)
    if turn == "neither":
        key = "galleries/g/files/abc.json"
        objects.replace(key, data)
    assert not set_aside(objects, key, datetime(2001, 1, 1, tzinfo=UTC))  # written since
    assert set_aside(objects, key, objects.modified(key) or datetime.now(UTC))
    assert not objects.exists(key)
    assert not set_aside(objects, key, datetime.now(UTC))  # gone
    look(objects, 9)
    assert diagnose(objects).findings == []
    if turn == "written again":
        ensure(objects, key, data)
    assert [one.key for one in leftovers(objects)] == [aside_key(key)]
    removed = [one.key for one in prune(objects, all_ages=True)]
    assert removed == ([aside_key(key)] if turn == "neither" else [])
    assert objects.exists(key) == (turn != "neither")
    assert leftovers(objects) == []
    look(objects, 9)


def test_commits_while_doctor_looks_are_no_finding(
    network: Network, url: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each of the first versions that it reads comes back, there is another one."""
    objects = store_at(url, tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    past_the_proxy = open_store(address(url))

    def another() -> None:
        now = latest(past_the_proxy, "g")
        commit(past_the_proxy, "g", replace(now, number=now.number + 1))

    network.faults = [Fault("after", "GET", "versions/0", 12, another)]
    assert diagnose(objects).findings == []
    assert latest(objects, "g").number == 13


def test_what_fails_after_a_commit_does_not_fail_it(network: Network, url: str, tmp_path: Path) -> None:
    objects = store_at(url, tmp_path)
    network.faults = [Fault("forbidden", "HEAD", "/h/files/")]
    add_gallery(objects, "h", [tmp_path / "part-0000.parquet"], Columns(), Space("old", 4), None)
    assert latest(objects, "h").number == 1
    assert any("HEAD" in one and "/h/files/" in one for one in network.requests)


def test_the_loser_is_told_who_was_first(network: Network, url: str, tmp_path: Path, server: str) -> None:
    objects = store_at(url, tmp_path)
    network.faults = [
        Fault("after", "PUT", "0000000002.json", 1, lambda: swap(objects, "g", load_card(objects, "v3"), "quicker"))
    ]
    done = spawn("swap", "g", "v2", "--without-check", "slower", "--store", url, "--json", cwd=tmp_path)
    out, err = done.communicate(timeout=60)
    assert done.returncode == json.loads(out)["exit_code"] == 4
    assert "gallery g changed meanwhile: version 2 by" in err
    assert f"swapped to v3. See: skipfill status --store {url} g;" in err
    assert [one.release and one.release.model for one in history(objects, "g")] == [None, "v3"]


@pytest.mark.parametrize(
    ("fault", "succeeds"),
    [
        (Fault("throttled", times=4), True),  # repeated until it is heard
        (Fault("dropped", times=2), True),
        (Fault("unanswered", "PUT", "0000000002", times=1), True),  # written, then refused to its own writer
        (Fault("half", "GET", "card.json", times=1), True),
        (Fault("slow", "HEAD", times=1), True),
        (Fault("slow", "PUT", times=1), None),  # no answer in time, and written later: nobody knows
        (Fault("throttled", "PUT"), False),
        (Fault("dropped", "PUT"), False),
        (Fault("dropped", "GET"), False),
        (Fault("half", "GET", "card.json"), False),
        (Fault("forbidden", "PUT"), False),
        (Fault("forbidden", "HEAD"), False),
    ],
    ids=lambda one: f"{one.kind}-{one.method}-{one.times}" if isinstance(one, Fault) else "",
)
def test_a_bad_network_loses_nothing(
    fault: Fault,
    succeeds: bool | None,
    network: Network,
    skipfill: Skipfill,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault.kind == "slow":
        monkeypatch.setenv("AWS_TIMEOUT", "1s")  # less than the two seconds that the answer takes
    objects = store_at(url, tmp_path)
    network.faults = [replace(fault)]
    command = ["swap", "g", "v2", "--without-check", "test", "--store", url]
    done = skipfill(*command, expect=None)
    assert succeeds in (None, done.code == 0), done.err
    if done.code:
        assert done.code == 2
        assert done.err.startswith(f"error: {url}/")
        assert ". " in done.err  # a hint
    assert not {KEY, SECRET} & set(done.err.split())
    assert KEY not in done.err + done.out
    network.faults = []
    if succeeds is None:
        assert "see skipfill status" in done.err
        while latest(objects, "g").number == 1:  # it lands after its writer has given up
            time.sleep(0.1)
    again = skipfill(*command, expect=None)
    assert again.code == 0  # done, or so already
    log = history(objects, "g")
    assert [one.number for one in log] == [1, 2]
    assert latest(objects, "g").release.model == "v2"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("throttled", times=4),
        Fault("dropped", times=2),
        Fault("unanswered", "PUT", "versions/0000000001", times=1),  # written, then refused to its own writer
        Fault("unanswered", "PUT", "/files/", times=1),
        Fault("half", "GET", ".parquet", times=1),
    ],
    ids=lambda one: f"{one.kind}-{one.method}",
)
def test_rows_are_added_to_an_overlay_once_over_a_bad_network(
    fault: Fault, network: Network, url: str, tmp_path: Path
) -> None:
    objects = store_at(url, tmp_path)
    network.faults = [replace(fault)]
    assert add(objects, [("a", 0), ("b", 0)]).added == 2
    network.faults = []
    assert open_overlay(objects, "g", BY, DIM).rows == 2
    assert [one.action for one in overlay_history(objects, "g", BY)] == ["added"]


def test_of_two_writers_of_an_overlay_the_loser_adds_what_is_still_new(
    network: Network, url: str, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = store_at(url, tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    past_the_proxy = open_store(address(url))
    first: list[int] = []
    network.faults = [
        Fault(
            "after", "PUT", "0000000001.json", 1, lambda: first.append(add(past_the_proxy, [("b", 0), ("c", 0)]).added)
        )
    ]
    done = add(objects, [("a", 0), ("b", 0)])
    assert (first, done.added, done.already) == ([2], 1, 1)
    overlay = open_overlay(objects, "g", BY, DIM)
    assert overlay.rows == 3
    assert all(held(overlay, name, 0) is not None for name in "abc")
    assert [one.rows for one in overlay_history(objects, "g", BY)] == [2, 3]
    assert len(leftovers(objects)) == 1  # the file that listed b again


def test_no_server_is_an_error_soon(skipfill: Skipfill, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refused = skipfill("status", "--store", url, expect=2).err
    assert f"{url}/store.json: expected a store that can be read, found no connection after" in refused
    assert "run the same command again" in refused


def test_places_that_are_no_store(skipfill: Skipfill, url: str, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert f"skipfill init --store {url}" in skipfill("status", "--store", url, expect=2).err
    missing = skipfill("init", "--store", "s3://no-such-bucket/x", expect=2).err
    assert "found 404 Not Found (NoSuchBucket)" in missing
    assert "Make the bucket first" in missing
    assert "gs://bucket/prefix" in skipfill("status", "--store", "ftp://host/x", expect=2).err
    for secret in ("s3://key:PASSWORD@bucket/x", "s3://bucket/x?token=PASSWORD", "s3://bucket/../PASSWORD"):
        refused = skipfill("status", "--store", secret, expect=2).err
        assert "PASSWORD" not in refused
    assert tree(tmp_path) == before


def test_a_server_that_overwrites_is_refused(network: Network, skipfill: Skipfill, url: str) -> None:
    network.faults = [Fault("deaf", "PUT")]
    assert "found one that overwrites it" in skipfill("init", "--store", url, expect=2).err
    network.faults = []
    assert "expected a skipfill store" in skipfill("status", "--store", url, expect=2).err
    assert ObjectStore(address(url)).children("probes") == []


def test_a_plain_http_endpoint_is_asked_for(skipfill: Skipfill, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert "AWS_ALLOW_HTTP=true" in skipfill("status", "--store", url, expect=2).err


def test_a_log_of_10000_versions_opens_without_reading_them(tmp_path: Path) -> None:
    objects = store_at(str(tmp_path / ".skipfill"), tmp_path)
    folder = tmp_path / ".skipfill" / "galleries" / "g" / "versions"
    first = json.loads((folder / "0000000001.json").read_bytes())
    for number in range(2, 10_000):
        (folder / f"{number:010d}.json").touch()  # whoever reads one fails
    (folder / "0000010000.json").write_text(json.dumps({**first, "number": 10_000}))
    assert latest(objects, "g").number == 10_000
    for number in (700, 3_000, 9_999):  # a log with holes is damaged; what is in force stays in force
        (folder / f"{number:010d}.json").unlink()
        assert latest(objects, "g").number == 10_000
    with pytest.raises(BadInput):
        history(objects, "g")


def test_a_long_log_takes_few_requests(network: Network, url: str, tmp_path: Path) -> None:
    objects = store_at(url, tmp_path)
    prefix = url.removeprefix("s3://").partition("/")[2]
    memory, bucket = backend(url)
    first = json.loads(objects.get("galleries/g/versions/0000000001.json"))
    for number in range(2, 2_501):
        data = json.dumps({**first, "number": number}).encode()
        memory.put_object(bucket, f"{prefix}/galleries/g/versions/{number:010d}.json", data)
    network.requests.clear()
    assert latest(open_store(address(url)), "g").number == 2_500
    assert len(network.requests) <= 14
    assert len([one for one in network.requests if one.startswith("GET") and "/0000" in one]) == 1
