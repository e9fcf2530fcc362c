"""Commands that are killed, and disks that fail, at a sample of the calls that faults.py knows."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from tests.store.system_calls import follows_calls
from tests.warm import program, run

ROOT = Path(__file__).parents[2]
pytestmark = follows_calls


def faults(*arguments: str) -> list[dict[str, Any]]:
    done = run(program("tests.programs.faults"), arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["outcomes"]
    return found


def test_killed_anywhere_nothing_is_lost_and_repeating_completes() -> None:
    outcomes = faults("--sample", "1", "--kind", "killed", "--kind", "killed at random times")
    assert len([one for one in outcomes if one["points"] == 1]) >= 13
    assert not [wrong for one in outcomes for wrong in one["wrong"]]


def test_a_disk_that_fails_anywhere_is_an_error_and_nothing_is_lost() -> None:
    kinds = ("disk full", "permission lost", "disk error", "read-only")
    outcomes = faults("--sample", "1", "--only", "swap", *(word for kind in kinds for word in ("--kind", kind)))
    assert [one["points"] for one in outcomes] == [1] * 4


def test_without_hard_links_the_whole_life_cycle_works() -> None:
    """Tests of `name_new` have the other errors; kills at every call without links are run by hand."""
    outcomes = faults("--links", "EPERM", "--sample", "0", "--kind", "killed")
    assert len(outcomes) > 15
    assert not [wrong for one in outcomes for wrong in one["wrong"]]


def test_the_kill_comes_before_the_call_and_the_failure_in_its_place(tmp_path: Path) -> None:
    """Of two files written one after the other, a kill between them leaves the first: the harness can find faults."""
    code = f"""
        import os
        from pathlib import Path
        from tests.programs.kills import FAILURES, run_interrupted
        folder = Path({str(tmp_path)!r})

        def act():
            for name in "ab":
                (folder / name).write_text(name)
            return 0

        def at(number, failure=None):
            for path in folder.iterdir():
                path.unlink()
            ended = run_interrupted(act, lambda path: path.startswith(str(folder)), number, failure)
            return ended, sorted((path.name, path.read_text()) for path in folder.iterdir())

        whole, _ = at(None)
        names = [os.path.basename(path) for _, path in whole.calls]
        assert whole.code == 0 and set(names) == set("ab"), whole
        second = names.index("b") + 1
        ended, left = at(second)
        assert (ended.code, left) == (-9, [("a", "a")]), (ended, left)
        ended, left = at(second + 1)
        assert (ended.code, left) == (-9, [("a", "a"), ("b", "")]), (ended, left)
        ended, left = at(second, FAILURES["disk full"])
        assert (ended.code, left) == (70, [("a", "a")]), (ended, left)
    """
    done = run(textwrap.dedent(code), cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
