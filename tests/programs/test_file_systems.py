"""File systems that lack something: hard links, any way to name a file safely, writing; and the umask."""

from __future__ import annotations

import os
import stat
import textwrap
from pathlib import Path

import pytest

from tests.conftest import Skipfill, World, tree
from tests.store.system_calls import follows_calls
from tests.warm import run

ROOT = Path(__file__).parents[2]


def on_a_disk_without(folder: Path, lacking: str, *commands: list[str], kept: str = "") -> list[tuple[int, str]]:
    """Run commands where calls fail with an error; exit code and stderr of each.

    Args:
        lacking: a Python expression of `Failure`s.
        kept: a path below `folder` where nothing fails.
    """
    code = f"""
        import contextlib, io, os
        from errno import *
        from pathlib import Path
        from skipfill.cli.app import run
        from tests.programs.kills import FAILURES, LINKS, Failure, run_interrupted

        os.chdir({str(folder)!r})
        def act(command):
            with Path("said").open("w") as said, contextlib.redirect_stderr(said):
                with contextlib.redirect_stdout(said):
                    return run(command)
        def inside(path):
            return path.startswith({str(folder)!r}) and not path.endswith(("/said", {kept!r} or "/said"))
        for command in {list(commands)!r}:
            ended = run_interrupted(lambda: act(command), inside, None, None, {lacking})
            print(repr((ended.code, Path("said").read_text())))
    """
    done = run(textwrap.dedent(code), cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder / "said").unlink()
    return [eval(line) for line in done.stdout.splitlines()]


NO_NEW_NAMES = "[Failure(EPERM, LINKS), Failure(EINVAL, frozenset({'renameat2'}))]"
WHY = "found a file system with neither hard links nor renaming without replacement"


@follows_calls
def test_where_no_file_can_be_named_safely_init_refuses(tmp_path: Path) -> None:
    ((code, said),) = on_a_disk_without(tmp_path, NO_NEW_NAMES, ["init"])
    assert code == 2
    assert WHY in said
    assert "permissions" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@follows_calls
def test_where_no_file_can_be_named_safely_work_is_refused_before_it_begins(
    with_v2: World, skipfill: Skipfill, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    commands = [
        ["train", "v3", "--items", "items.parquet", "--gallery", "things", "--epochs", "1000000"],
        ["check", "things", "v2", "--items", "heldout.parquet"],
        ["encode", "v1", "items.parquet", "-o", "out.parquet"],
        ["gallery", "add", "more", "gallery.parquet", "--space", "v1"],
        ["swap", "things", "v2", "--without-check", "test"],
        ["doctor"],
        ["status"],
    ]
    *writing, doctor, status = on_a_disk_without(tmp_path, NO_NEW_NAMES, *commands)
    for command, (code, said) in zip(commands, writing, strict=False):
        assert code == 2, command
        assert WHY in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    assert (doctor[0], status[0]) == (1, 0)
    assert WHY in doctor[1]
    assert tree(tmp_path) == before


@follows_calls
def test_doctor_tells_of_renaming_instead_of_links(with_v2: World, tmp_path: Path) -> None:
    ((code, said),) = on_a_disk_without(tmp_path, "[Failure(EPERM, LINKS)]", ["doctor"])
    assert code == 0
    assert "no hard links" in said


READING = [
    *(["status"], ["status", "things"], ["history", "things"], ["plan", "things", "v2", "--without-check", "test"]),
    ["search", "things", "--items", "heldout.parquet", "--quiet"],
    *(["gallery", "list"], ["gallery", "show", "things"], ["gallery", "verify", "things", "--deep", "--quiet"]),
    *(["model", "list"], ["model", "show", "v2"], ["matrix", "v1", "v2", "--items", "heldout.parquet", "--quiet"]),
    *(["prune"], ["methods"]),
]


@follows_calls
def test_a_store_on_a_read_only_disk_can_be_read(with_v2: World, tmp_path: Path) -> None:
    before = tree(tmp_path)
    done = on_a_disk_without(tmp_path, "[FAILURES['read-only']]", *READING)
    assert [code for code, _ in done] == [0] * len(READING), done
    assert tree(tmp_path) == before


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_files_keep_to_the_umask(skipfill: Skipfill, with_v2: World, tmp_path: Path, mask: int) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    umask = os.umask(mask)
    try:
        skipfill("check", "things", "v2", "--items", with_v2.known, "--html", "a.html", "--junit", "a.xml", expect=None)
        skipfill("swap", "things", "v2", "--without-check", "test")
        skipfill("encode", "v2", with_v2.known, "-o", "new.parquet", "--onto", "v1")
        skipfill("gallery", "append", "things", "new.parquet")
        skipfill("plan", "things", "v1", "--without-check", "test", "-o", "plan.json", expect=None)
        skipfill("model", "export", "v2", "-o", "v2.skipfill")
        skipfill("train", "v3", "--items", with_v2.items, "--epochs", 1)
        skipfill("init", "--store", "another")
    finally:
        os.umask(umask)
    new = [path for path in tmp_path.rglob("*") if path not in before]
    assert len(new) > 20
    for path in new:
        expected = (0o777 if path.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
