"""On disk before success; and a real disk that is full."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Skipfill, World, tree
from tests.store.stores import store_with
from tests.store.system_calls import needs_strace, traced

LANDED = re.compile(r'(?:link|linkat|rename|renameat|renameat2)\(.*"([^"]+)"[^"]*\) += 0')
SYNCED = re.compile(r"(?:fsync|fdatasync)\(\d+<([^>]+)>\) += 0")


@needs_strace
@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (["gallery", "add", "more", "gallery.parquet", "--space", "ada"], "versions/0000000001.json"),
        (["train", "v2", "--gallery", "things", "--items", "items.parquet", "--epochs", "1"], "models/v2/card.json"),
        (["check", "things", "v1", "--items", "heldout.parquet"], "0000000001.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_each_file_and_folder_is_synced_and_the_last_file_says_complete(
    registered: World, tmp_path: Path, arguments: list[str], last: str
) -> None:
    calls = "fsync,fdatasync,link,linkat,rename,renameat,renameat2"
    _, lines = traced(tmp_path, arguments, "-e", f"trace={calls}")
    waiting: set[str] = set()
    landed: list[str] = []
    for line in lines:
        if "/.probe#" in line:
            continue  # an empty file that only tries the disk, and is removed
        if found := LANDED.search(line):
            if found[1].endswith(last):
                assert not waiting, f"{last} says complete, and these are not on disk: {waiting}"
            landed.append(found[1])
            waiting |= {found[1], *map(str, Path(found[1]).parents[: depth(found[1])])}
        elif synced := SYNCED.search(line):
            waiting.discard(synced[1])
    assert len(landed) >= 2, lines
    # A convenience for services, which nothing relies on, may follow.
    assert [path for path in landed if not path.endswith("/release.json")][-1].endswith(last)
    assert not waiting


def depth(path: str) -> int:
    """The number of folders up to the store's."""
    return len(Path(path).relative_to(path.split("/.skipfill/")[0] + "/.skipfill").parts)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(skipfill: Skipfill, tmp_path: Path, small_disk: Path) -> None:
    """Every command says so, nothing is lost, and once there is space it completes."""
    store_with(tmp_path, 2_000)
    for path in (tmp_path / ".skipfill", *tmp_path.glob("part-*.parquet")):
        shutil.move(path, small_disk / path.name.replace(".skipfill", "s"))
    store = ("--store", small_disk / "s")
    files = sorted(small_disk.glob("part-*.parquet"))
    before = tree(small_disk)
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    commands = [
        ("gallery", "add", "more", *files, "--space", "ada", *store),
        ("swap", "g", "v2", "--without-check", "test", *store),
        ("init", "--store", small_disk / "another"),
    ]
    for command in commands:
        err = skipfill(*command, expect=2).err
        assert err.startswith("error: ")
        assert "No space left on device" in err
        assert err.count("\n") == 1
    found = tree(small_disk)
    found.pop("ballast")
    assert {name: data for name, data in found.items() if "#" not in name} == before
    assert "bytes left on its disk" in skipfill("doctor", *store, expect=1).out
    ballast.unlink()
    for command in commands:
        skipfill(*command)
    assert skipfill("status", *store, "--json").document["galleries"]["g"]["release"]["model"] == "v2"
    skipfill("prune", "--yes", "--all-ages", *store)
    assert skipfill("doctor", "--deep", *store, "--json", expect=None).document["leftovers"] == []
