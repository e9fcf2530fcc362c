"""skipfill without a command says what is here, and what to do next: each step of a life cycle."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Skipfill, World

TRAIN = "  Next: skipfill train NAME --gallery things --items ITEMS.parquet"


def next_step(skipfill: Skipfill) -> str:
    (line,) = [line for line in skipfill().out.splitlines() if "Next:" in line]
    return line


def test_each_step_is_followed_by_the_next(skipfill: Skipfill, with_v2: World) -> None:
    assert next_step(skipfill) == "  Next: skipfill check things v2 --items HELDOUT.parquet"
    lax = ("--metric", "mAP", "--not-worse", "--accept-worse", "unseen")
    skipfill("policy", "things", *lax)
    skipfill("check", "things", "v2", "--items", with_v2.known, *lax)
    assert next_step(skipfill) == "  Next: skipfill swap things v2"
    skipfill("swap", "things", "v2")
    assert next_step(skipfill) == "  Next: skipfill status things"
    assert "queries use v2" in skipfill().out


def test_it_begins_with_init(skipfill: Skipfill, tmp_path: Path) -> None:
    assert "skipfill init" in skipfill().out
    skipfill("init")
    assert next_step(skipfill) == "  Next: skipfill gallery add NAME FILES --space NAME_OF_THE_OLD_ENCODER"


def test_a_gallery_without_a_model_wants_one(skipfill: Skipfill, registered: World) -> None:
    assert next_step(skipfill) == TRAIN


def test_a_damaged_gallery_is_named(skipfill: Skipfill, registered: World) -> None:
    newest = max(Path(".skipfill/galleries/things/versions").iterdir())
    newest.write_bytes(b"")
    assert "Damaged: things. Next: skipfill doctor" in skipfill(expect=2).out
