"""Report files: devices and pipes are written into and stay; inputs and the store are never overwritten."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from skipfill.cli.app import run
from tests.conftest import Skipfill, World, spawn, tree


@pytest.fixture(scope="module")
def checked_folder(with_v2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = World.at(tmp_path_factory.mktemp("checked"))
    shutil.copytree(with_v2_folder, world.folder, dirs_exist_ok=True)
    with chdir(world.folder):
        assert run(["check", "things", "v2", "--items", "heldout.parquet"]) == 3
    return world.folder


@pytest.fixture
def checked(skipfill: Skipfill, checked_folder: Path, tmp_path: Path) -> World:
    """A store with a check of v2 on `things`."""
    shutil.copytree(checked_folder, tmp_path, dirs_exist_ok=True)
    return World.at(tmp_path)


@contextmanager
def reader_of(pipe: Path) -> Iterator[list[str]]:
    """A thread that reads a named pipe to its end; then what it read."""
    os.mkfifo(pipe)
    read: list[str] = []
    thread = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    thread.start()
    yield read
    thread.join(20)
    assert not thread.is_alive(), "nobody wrote into the pipe"


@pytest.mark.parametrize("option", ["--junit", "--html"])
def test_a_pipe_is_written_into(skipfill: Skipfill, checked: World, tmp_path: Path, option: str) -> None:
    with reader_of(tmp_path / "pipe") as read:
        skipfill("report", "things", "v2", option, "pipe")
    skipfill("report", "things", "v2", option, "file")
    assert read == [(tmp_path / "file").read_text(encoding="utf-8")]
    assert (tmp_path / "pipe").is_fifo()


def test_a_pipe_is_told_of_a_check_that_failed_to_be_made(
    skipfill: Skipfill, registered: World, tmp_path: Path
) -> None:
    with reader_of(tmp_path / "pipe") as read:
        skipfill("check", "things", "v9", "--items", registered.heldout, "--junit", "pipe", expect=2)
    assert "v9" in read[0]
    assert (tmp_path / "pipe").is_fifo()


def test_a_device_stays(skipfill: Skipfill, checked: World, tmp_path: Path) -> None:
    """One of our own, as `/dev/null` is: as root, a failure would take that from everybody."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except OSError:
        pytest.skip("only root makes devices")
    skipfill("report", "things", "v2", "--junit", device)
    skipfill("check", "things", "v9", "--items", checked.heldout, "--junit", device, expect=2)
    assert device.is_char_device()


@pytest.mark.parametrize("into", ["pipe", "file"])
def test_stdout_by_its_name(checked: World, tmp_path: Path, into: str) -> None:
    """Also where it goes to a file, which stays the one that the shell opened."""
    running = spawn("report", "things", "v2", "--junit", "/dev/stdout", cwd=tmp_path)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    assert fromstring(out).tag == "testsuites"
    if into == "file":
        with (tmp_path / "out.xml").open("w") as opened:
            running = spawn("report", "things", "v2", "--junit", "/dev/stdout", cwd=tmp_path, stdout=opened)
            assert running.wait(timeout=60) == 0
            assert os.path.samestat((tmp_path / "out.xml").stat(), os.fstat(opened.fileno()))
        assert (tmp_path / "out.xml").read_text() == out


PLACES = {
    "items": "heldout.parquet",
    "gallery items": "gallery_items.parquet",
    "judgements": "judged.tsv",
    "a file of the gallery": "gallery.parquet",
    "by another name": "link.parquet",
    "the store's marker": ".skipfill/store.json",
    "a new file in the store": ".skipfill/checks/things/new.xml",
}


@pytest.mark.parametrize("option", ["--junit", "--html"])
@pytest.mark.parametrize("place", PLACES)
def test_no_report_overwrites_an_input_or_the_store(
    skipfill: Skipfill, checked: World, tmp_path: Path, place: str, option: str
) -> None:
    (tmp_path / "judged.tsv").write_text("i0030 i0031 1\n")
    (tmp_path / "link.parquet").symlink_to("heldout.parquet")
    before = tree(tmp_path)
    # There is no model v9: the report's file is looked at first; and then the failure is not written there either.
    check = ["check", "things", "v9", "--items", "heldout.parquet", "--gallery-items", "gallery_items.parquet"]
    told = skipfill(*check, "--judgements", "judged.tsv", option, PLACES[place], expect=2).err
    assert f"{PLACES[place]}: expected a file for a report, found a" in told
    early = skipfill(*check, "--judgements", "judged.tsv", option, PLACES[place], "--margin", "x", expect=2).err
    assert "--margin" in early
    if place != "judgements":
        told = skipfill("report", "things", "v2", option, PLACES[place], expect=2).err
        assert f"{PLACES[place]}: expected a file for a report, found a" in told
    assert tree(tmp_path) == before


def test_two_reports_have_two_files(skipfill: Skipfill, checked: World, tmp_path: Path) -> None:
    said = skipfill("report", "things", "v2", "--junit", "same", "--html", "./same", expect=2).err
    assert "found the same file for two of them" in said
    assert not (tmp_path / "same").exists()


def test_no_log_overwrites_an_input(skipfill: Skipfill, checked: World) -> None:
    before = Path("items.parquet").read_bytes()
    said = skipfill("train", "v3", "--items", checked.items, "--log", checked.items, "--epochs", 1, expect=2).err
    assert "a file that this command reads" in said
    assert Path("items.parquet").read_bytes() == before


def test_an_earlier_report_is_replaced(skipfill: Skipfill, checked: World, tmp_path: Path) -> None:
    for text in ("", "mine", "<?xml"):
        (tmp_path / "j.xml").write_text(text)
        skipfill("report", "things", "v2", "--junit", "j.xml")
        assert fromstring((tmp_path / "j.xml").read_text()).tag == "testsuites"


def test_the_command_is_the_first_word_that_is_no_option(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    (tmp_path / "search").write_text("")
    check = ["check", "things", "v9", "--items", "heldout.parquet", "--junit", "j.xml"]
    skipfill("--config", "search", *check, expect=2)
    assert "v9" in (tmp_path / "j.xml").read_text()
    (tmp_path / "j.xml").unlink()
    skipfill("--config", "check", "search", "things", "--junit", "j.xml", expect=2)
    skipfill("--config", expect=2)
    assert not (tmp_path / "j.xml").exists()
