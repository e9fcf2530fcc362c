"""Progress where there is no terminal: plain lines, not too many."""

from __future__ import annotations

import pytest

from skipfill.cli.terminal import printing, progress
from tests.conftest import Skipfill, World


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_long_work_prints_plain_lines(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress(quiet=False) as bar:
        bar.start("verifying rows", 1_000_000)
        for second in range(1, 101):
            clock[0] = second
            bar.note("v2 epoch 3", "class 1.00")
            bar.advance(10_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "v2 epoch 3: 10%  class 1.00"
    assert len(lines) == 10


def test_very_long_work_prints_a_hundred_lines(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress(quiet=False) as bar:
        bar.start("encoding", 1_000)
        for _ in range(1_000):
            clock[0] += 60
            bar.advance(1)
    assert len(capsys.readouterr().err.splitlines()) == 100


def test_quiet_and_short_work_print_none(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, seconds in ((True, 60), (False, 0.001)):
        with progress.progress(quiet=quiet) as bar:
            bar.start("encoding", 1_000)
            for _ in range(1_000):
                clock[0] += seconds
                bar.advance(1)
    assert capsys.readouterr().err == ""


def test_a_training_writes_its_epochs_to_a_log(
    skipfill: Skipfill, registered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    told = skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 3).err
    assert "v2 epoch 3: " in told
    assert "\x1b" not in told
    assert "\r" not in told


def test_a_table_in_a_pipe_has_no_blanks_at_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    printing.printer().print(printing.table(["name", "what"], [("a", "long words"), ("b", "[bold]short")]))
    assert capsys.readouterr().out == "name  what\na     long words\nb     [bold]short\n"
