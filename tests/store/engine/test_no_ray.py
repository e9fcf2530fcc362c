"""Commands that are told to use an engine which is not there."""

from __future__ import annotations

import sys

import pytest

from skipfill.cli.terminal.next_command import install_command
from tests.conftest import Skipfill, World


@pytest.mark.parametrize(
    "command",
    [
        ("search", "things", "--vectors", "gallery.parquet"),
        ("encode", "v1", "heldout.parquet", "-o", "new.parquet"),
        ("check", "things", "v1", "--items", "heldout.parquet"),
    ],
    ids=["search", "encode", "check"],
)
def test_ray_that_is_not_installed(
    skipfill: Skipfill, registered: World, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = " ".join(skipfill(*command, "--engine", "ray", expect=2).err.split())
    assert "--engine ray: expected Ray to run tasks with, found none installed" in said
    assert install_command("ray") in said
    assert not (registered.folder / "new.parquet").exists()


def test_an_unknown_engine(skipfill: Skipfill, registered: World) -> None:
    said = skipfill("search", "things", "--vectors", "gallery.parquet", "--engine", "rey", expect=2).err
    assert "--engine: expected a known engine (nearest: ray), found 'rey'" in " ".join(said.split())


def test_an_address_without_a_cluster(skipfill: Skipfill, registered: World) -> None:
    said = skipfill("search", "things", "--vectors", "gallery.parquet", "--address", "auto", expect=2).err
    assert "--address: expected --engine ray beside it, found --engine local" in " ".join(said.split())
