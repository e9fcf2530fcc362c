"""Commands that are interrupted, at a sample of the moments that interrupts.py draws."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.warm import program, run

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the states are made by a program for Linux")
def test_interrupted_anywhere_the_store_is_healthy_and_nothing_is_left() -> None:
    only = [word for command in ("init", "train", "encode", "gallery add") for word in ("--only", command)]
    asked = ["--times", "3", "--started", "1", "--latest", "5", *only]
    done = run(program("tests.programs.interrupts"), asked, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)["outcomes"]
    assert len(outcomes) == 8
    assert not [wrong for one in outcomes for wrong in one["wrong"]]
