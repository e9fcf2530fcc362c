"""In a terminal of 80 columns no line is longer and no word is cut: advice, errors, and what commands show."""

from __future__ import annotations

import random
import shlex
import string
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.text import Text

from skipfill.cli.error_messages import SENTENCES, sentence
from skipfill.cli.terminal.failure import line
from skipfill.cli.terminal.wrapping import wrapped
from skipfill.store.errors import Advice
from skipfill.store.models.cards import load_card
from skipfill.store.overlays.add import add_rows
from skipfill.store.overlays.change import drop_overlay, roll_back_overlay
from tests.conftest import Skipfill, World
from tests.eighty_columns import WIDTH, assert_fits, assert_wraps
from tests.store.stores import saved_check, store_with

VALUES = {"options": {"margin": 0.99, "better": False, "accept_worse": ("seen", "unseen")}, "root": "the shop/store"}
"""Values of advice that are no names; the others are `products-2026`."""


@pytest.mark.parametrize("key", SENTENCES)
def test_every_advice_wraps(key: str) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(SENTENCES[key]) if name}
    told = sentence(Advice(key, **{name: VALUES.get(name, "products-2026") for name in names}))
    assert_wraps(told)
    assert_wraps(line("gallery products-2026: expected a known model, found 'v9'", told))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(WIDTH))


ERRORS = [
    "status other",
    "history other",
    "check things v9 --items heldout.parquet",
    "check things v1 --items nothing.parquet",
    "check things v1 --items heldout.parquet --metric CMC",
    "check things v1 --items heldout.parquet --slice nothing",
    "check things v1 --items heldout.parquet --threshold-rule x --threshold 0.5",
    "check things v1 --items heldout.parquet --index ivf",
    "check things v1 --items heldout.parquet --truth reindex",
    "check things v1 --items heldout.parquet --label kind",
    "check things v1 --items heldout.parquet --instead-of abc",
    "check things v1 --items heldout.parquet --margin 2",
    "check things v1",
    "train v2 --items items.parquet --gallery other",
    "train v2 --items items.parquet --method oca",
    "train v2 --items items.parquet --gallery things --method bt2",
    "train v2 --items items.parquet --method nothing",
    "train v2 --items items.parquet --set oca.nothing=1",
    "train v2 --items items.parquet --encoder python:os:getcwd",
    "train v2 --items items.parquet --init v9",
    "train v1 --items items.parquet",
    "train v2 --items unlabelled.parquet",
    "encode v1 items.parquet -o gallery.parquet",
    "encode v1 items.parquet -o x.parquet --onto v9",
    "gallery add things gallery.parquet --space v1",
    "gallery add more items.parquet --space v1",
    "gallery add more gallery.parquet --space new --vector label",
    "gallery append things gallery.parquet",
    "gallery drop things --confirm x",
    "swap things",
    "swap things --plan items.parquet",
    "plan things v9",
    "rollback things",
    "rollback things --to 9",
    "search things",
    "search things --items heldout.parquet --vectors heldout.parquet",
    "report things",
    "report things abc",
    "policy things --accept-worse all",
    "policy things --metric accuracy",
    "model add items.parquet",
    "model export v9 -o x",
    "blend v3 --new v1 --old v9",
    "overlay add things v1 --items gallery_items.parquet",
    "overlay add things v9 --items gallery_items.parquet",
    "overlay show things v1",
    "overlay rollback things v1",
    "overlay drop other v1",
    "guide nothing",
    "matrix v1 v9 --items heldout.parquet",
    "status --store no/where",
    "nothing",
    "status --watch",
]


def test_errors_fit_a_terminal(skipfill: Skipfill, registered: World, terminal: None) -> None:
    for command in ERRORS:
        done = skipfill(*shlex.split(command), expect=None)
        assert done.code in (1, 2), (command, done)
        assert "error:" in done.err, command
        assert_fits(done.err[done.err.index("error:") :])
        assert done.out == ""


def test_what_commands_show_fits_a_terminal(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: None
) -> None:
    objects = store_with(tmp_path, 100)
    why = "the new model serves the customers of the southern shops, who asked for it, much better than the old one"
    skipfill("policy", "g", "--flip-budget", 0.05, "--accept-worse", "unseen", "--reason", why)
    for day in range(1, 9):
        saved_check(objects, "v2", created=f"2026-01-0{day}", verdict="fail")
    skipfill("swap", "g", "v2", "--without-check", why)
    skipfill("rollback", "g", "--reason", why)
    skipfill("swap", "g", "v3", "--without-check", why)
    by = load_card(objects, "v2").fingerprint
    add_rows(objects, "g", by, pa.array([1, 2]), np.zeros(2, np.uint64), np.ones((2, 8), np.float32), model="v2")
    drop_overlay(objects, "g", by, why)
    roll_back_overlay(objects, "g", by, why, to=1)
    for command in (
        *("overlay list", "overlay show g v2", "overlay verify g v2 --quiet"),
        *("history g", "status", "status g", "model list", "model show v2", "gallery list", "gallery show g"),
        *("policy g", "plan g v2", "swap g v3", "swap g v2 --dry-run --without-check x", "", "doctor", "methods"),
    ):
        done = skipfill(*shlex.split(command), expect=None)
        assert done.code in (0, 1), (command, done)
        assert_fits(done.out + done.err)
    monkeypatch.delenv("FORCE_COLOR")
    for command in ("history g", "status", "status g", "model list", "model show v2", "gallery show g", "policy g"):
        lines = skipfill(*shlex.split(command)).out.splitlines()
        assert all(each == each.rstrip() for each in lines)
        assert why in "\n".join(lines) or not command.startswith("history")  # one line a row, to be searched


def test_a_command_on_several_lines_can_be_pasted() -> None:
    """Bash reads the same words from it."""
    draw = random.Random(0)
    words = ["--items", "a.parquet", "'a b c d'", "--reason", "'it is; or not, or.'", "x" * 30, "--to", "7"]
    for _ in range(20):
        command = " ".join(["skipfill check", *draw.choices(words, k=draw.randrange(1, 12))])
        shown = wrapped(Text(f"Next: {command}"), WIDTH).plain
        assert_fits(shown)
        script = shown.removeprefix("Next: ").replace("skipfill", "printf '%s\\n'", 1)
        read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
        assert read.splitlines() == shlex.split(command)[1:]


def test_only_commands_are_continued() -> None:
    prose = "This is prose about `skipfill encode` " * 5
    assert "\\" not in wrapped(Text(prose), WIDTH).plain
    both = f"See: skipfill history g. {prose}"
    assert "\\" not in wrapped(Text(both), WIDTH).plain
    assert wrapped(Text("short"), WIDTH).plain == "short"
