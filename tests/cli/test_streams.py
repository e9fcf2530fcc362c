"""Commands with closed, full or unread streams, with files that may not grow, and in folders that are gone."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import parse

import pytest

from tests.cli.shells import shell
from tests.conftest import COMMAND, Skipfill, World, tree
from tests.warm import run

SWAP = "swap things v2 --without-check test"
LOST = "error: stdout: No space left on device. What the command did stays done: only what it prints is lost."
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")


def warm(command: str, cwd: Path, first: str = "", **streams: IO[str]) -> tuple[int, str, str]:
    """The same for a command that a cold start would make slow: in a fork, whose stdout and stderr may be files.

    Args:
        first: Python code that it runs first.
    """
    done = run(f"{first}\n{COMMAND}", shlex.split(command), cwd=cwd, timeout=100, **streams)
    return done.returncode, done.stdout, done.stderr


def closing(streams: str) -> str:
    """Code that closes what a shell would, and leaves such objects as Python has when it starts without a stream."""
    names = {"<&-": (0, "stdin"), ">&-": (1, "stdout"), "2>&-": (2, "stderr")}
    closed = [names[one] for one in streams.split() if one in names]
    return f"import os, sys\nfor number, name in {closed}: os.close(number); setattr(sys, name, None)"


def model_in_use(skipfill: Skipfill) -> str:
    release = skipfill("status", "things", "--json").document["version"]["release"]
    return str(release["model"]) if release else "v1"


@needs_full
@pytest.mark.parametrize("json", ["", "--json"])
def test_a_full_stdout_is_told_and_the_swap_stays(
    skipfill: Skipfill, with_v2: World, tmp_path: Path, json: str
) -> None:
    code, _, err = shell(f"skipfill {SWAP} {json} > /dev/full", tmp_path)
    assert (code, err.splitlines()) == (2, [LOST])
    assert model_in_use(skipfill) == "v2"


@needs_full
@pytest.mark.parametrize("command", ["--help", "--version", "guide gate", "", "status"])
def test_whatever_cannot_be_printed_is_told(skipfill: Skipfill, with_v2: World, tmp_path: Path, command: str) -> None:
    assert shell(f"skipfill {command} > /dev/full", tmp_path) == (2, "", f"{LOST}\n")
    with Path("/dev/full").open("w") as full:
        assert warm("methods --json", tmp_path, stdout=full) == (2, "", f"{LOST}\n")


@needs_full
def test_a_full_stdout_makes_no_failure_of_a_check_that_was_made(
    skipfill: Skipfill, with_v2: World, tmp_path: Path
) -> None:
    check = "check things v2 --items heldout.parquet --no-save -q --junit j.xml --github"
    with Path("/dev/full").open("w") as full:
        code, _, err = warm(check, tmp_path, stdout=full)
    assert (code, err.splitlines()) == (2, [LOST])
    assert parse(tmp_path / "j.xml").find(".//testcase[@name='check: was made']") is None


@needs_full
def test_an_error_keeps_its_code_where_stdout_is_full(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    code, _, err = shell("skipfill swap things v9 --json > /dev/full", tmp_path)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "v9" in err


CLOSED = [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", *(["2>/dev/full"] if Path("/dev/full").exists() else [])]


@pytest.mark.parametrize("streams", CLOSED)
def test_a_closed_stream_changes_no_exit_code(skipfill: Skipfill, with_v2: World, tmp_path: Path, streams: str) -> None:
    """And no file of the store gets what is printed: its handle could have the number of the missing stream."""
    code, out, err = shell(f"skipfill {SWAP} --json {streams}", tmp_path)
    assert code == 0, err
    assert out == "" if ">&- " in f"{streams} " and not streams.startswith("2") else json.loads(out)
    assert "Traceback" not in err
    assert model_in_use(skipfill) == "v2"
    before = tree(tmp_path)
    assert shell(f"skipfill swap things v9 {streams}", tmp_path)[0] == 2
    check = "check things v2 --items heldout.parquet --no-save"
    with Path("/dev/full").open("w") as full:
        given = {"stderr": full} if "full" in streams else {}
        assert warm(check, tmp_path, closing(streams), **given)[0] == 3
    assert tree(tmp_path) == before
    assert skipfill("doctor")


@pytest.mark.parametrize("command", ["--help", "status --help", "guide gate", "--version"])
def test_a_reader_that_has_gone(registered: World, tmp_path: Path, command: str) -> None:
    assert shell(f"skipfill {command} | true", tmp_path) == (0, "", "")


def test_a_reader_that_has_gone_changes_no_verdict(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    """More annotations than a buffer takes are printed before the result."""

    def unread(command: str) -> int:
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            return warm(command, tmp_path, stdout=pipe)[0]

    slices = " ".join(f"--slice {shlex.quote(f'{name * 300!r} = id')}" for name in "abcdefghijklmnopqrstuvwxyz")
    assert unread(f"check things v2 --items heldout.parquet --no-save -q --github {slices}") == 3
    assert unread("plan things v2 -q -o -") == 1


def test_a_file_that_may_not_grow_is_named(registered: World, tmp_path: Path) -> None:
    limited = f"""
import os, resource, tempfile
tempfile.tempdir = os.environ["TMPDIR"] = {str(tmp_path)!r}
resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 10, 8 << 10))
"""
    code, _, err = warm("train v2 --items items.parquet --epochs 1", tmp_path, limited)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {tmp_path}/skipfill-")
    assert "found File too large. Make room" in err


def test_a_folder_that_was_removed_is_said(tmp_path: Path) -> None:
    code, _, err = shell("mkdir gone; cd gone; rmdir ../gone; skipfill status", tmp_path)
    assert (code, err) == (2, "error: the current folder was removed. Go to another one with cd.\n")
