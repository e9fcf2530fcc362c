"""`--run`: a command after the commit that gets the release; its failure is said, has a code, and undoes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shells import shell
from tests.conftest import Skipfill, World, tree

SWAP = ("swap", "things", "v2", "--without-check", "test")
KEEP = "cat > given.json"


def model_in_use(skipfill: Skipfill) -> str:
    release = skipfill("status", "things", "--json").document["version"]["release"]
    return str(release["model"])


def test_the_command_gets_what_json_prints(skipfill: Skipfill, with_v2: World) -> None:
    printed = skipfill(*SWAP, "--json", "--run", KEEP).document
    assert json.loads(Path("given.json").read_text()) == printed
    assert (printed["version"]["release"]["model"], printed["exit_code"]) == ("v2", 0)
    done = skipfill("rollback", "things", "--run", KEEP)
    assert "Rolled back: queries of things use v1" in done.out
    given = json.loads(Path("given.json").read_text())
    assert (given["gallery"], given["version"]["release"]["model"], given["schema_version"]) == ("things", "v1", 1)


def test_it_runs_after_the_commit_and_prints_on_stderr(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    """It finds the new release. Stdout has our document alone."""
    look = "cat .skipfill/galleries/things/release.json; echo told >&2"
    done = skipfill(*SWAP, "--json", "--run", look)
    assert done.document["version"]["release"]["model"] == "v2"
    assert '"v2"' in done.err
    assert "told" in done.err


@pytest.mark.parametrize(
    ("command", "found"),
    [("exit 3", "exit code 3"), ("kill -9 $$", "its end by signal 9"), ("no-such-program", "exit code 127")],
)
@pytest.mark.parametrize("words", [SWAP, ("rollback", "things")], ids=["swap", "rollback"])
def test_a_failure_is_said_and_undoes_nothing(
    skipfill: Skipfill, with_v2: World, command: str, found: str, words: tuple[str, ...]
) -> None:
    if words != SWAP:
        skipfill(*SWAP)
    done = skipfill(*words, "--run", command, expect=5)
    number = 2 if words == SWAP else 3
    assert (
        f"error: --run {command!r}: expected exit code 0, found {found}. The release stays changed: gallery things,"
        in done.err
    )
    assert (
        f"version {number}. Run the command of --run again by hand. To see the release: skipfill status things --json\n"
        in done.err
    )
    assert model_in_use(skipfill) == ("v2" if words == SWAP else "v1")
    assert ("Undo: skipfill rollback things" in done.err) == (words == SWAP)


def test_a_failure_is_in_the_document(skipfill: Skipfill, with_v2: World) -> None:
    done = skipfill(*SWAP, "--json", "--run", "false", expect=5)
    assert (done.document["exit_code"], done.document["version"]["number"]) == (5, 2)
    assert "error: --run 'false'" in done.err


def test_an_interruption_of_the_command_says_that_the_release_changed(with_v2: World, tmp_path: Path) -> None:
    """To run the swap again would change nothing, and so not run the command."""
    code, _, err = shell(f"skipfill {' '.join(SWAP)} --run 'kill -INT $PPID; sleep 60'", tmp_path)
    assert code == 130
    assert "error: interrupted. The release stays changed: gallery things, version 2. Run the command of --run" in err
    assert "Run the same command again" not in err


def test_it_runs_only_after_a_change(skipfill: Skipfill, with_v2: World) -> None:
    dry = skipfill(*SWAP, "--dry-run", "--run", "touch ran")
    assert "--run: not run, because this is a dry run" in dry.err
    refused = skipfill("swap", "things", "v2", "--run", "touch ran", expect=1)
    assert "expected a passing check" in refused.err
    skipfill(*SWAP)
    assert "--run: not run, because nothing was changed" in skipfill(*SWAP, "--run", "touch ran").err
    dry = skipfill("rollback", "things", "--dry-run", "--run", "touch ran")
    assert "--run: not run, because this is a dry run" in dry.err
    skipfill("rollback", "things")
    again = skipfill("rollback", "things", "--to", 1, "--run", "touch ran")
    assert "--run: not run, because nothing was changed" in again.err
    assert not Path("ran").exists()


def test_a_command_that_reads_nothing_is_fine(skipfill: Skipfill, with_v2: World) -> None:
    assert "error" not in skipfill(*SWAP, "--run", "exec <&-; true").err


def test_a_file_never_gives_a_command(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    """The environment, which is the user's own, may."""
    (tmp_path / "skipfill.toml").write_text('[swap]\nrun = "touch ran"\n')
    before = tree(tmp_path)
    assert "SKIPFILL_SWAP_RUN" in skipfill(*SWAP, expect=2).err
    assert tree(tmp_path) == before
    (tmp_path / "skipfill.toml").unlink()
    code, _, _ = shell(f"SKIPFILL_SWAP_RUN='touch ran' skipfill {' '.join(SWAP)} > /dev/full", tmp_path)
    assert (code, Path("ran").exists()) == (2, True)  # also where the swap itself cannot be printed
