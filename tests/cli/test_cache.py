"""`--cache` on the command line: the same results, notes on what is copied where, and how copies are removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Skipfill, World


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "skipfill"


def test_searches_with_a_cache(skipfill: Skipfill, registered: World, folder: Path) -> None:
    search = ["search", "things", "--items", registered.heldout, "-k", 5, "--json"]
    plain = skipfill(*search)
    assert not folder.exists()
    first, second = (skipfill(*search, "--cache") for _ in range(2))
    assert first.document == second.document == plain.document
    assert f"Vectors are copied to {folder / 'galleries'}" in " ".join(first.err.split())
    assert "copied" not in second.err + skipfill(*search, "--cache", "--quiet").err


def test_a_check_with_a_cache(skipfill: Skipfill, with_v2: World, folder: Path) -> None:
    check = ["check", "things", "v2", "--items", with_v2.heldout, "--gallery-items", with_v2.gallery_items, "--no-save"]
    plain, first, second = (
        skipfill(*check, *more, "--json", expect=None).document["check"] for more in ([], ["--cache"], ["--cache"])
    )
    assert len(list((folder / "galleries").iterdir())) == 1
    for report in (plain, first, second):
        del report["created"], report["seconds"]
    assert plain == first == second


def test_a_check_refuses_a_damaged_copy(skipfill: Skipfill, with_v2: World, folder: Path) -> None:
    """It digests what it reads."""
    check = ["check", "things", "v2", "--items", with_v2.heldout, "--cache", "--no-save"]
    code = skipfill(*check, expect=None).code
    [copy] = (folder / "galleries").iterdir()
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    told = " ".join(skipfill(*check, expect=4).err.split())
    assert "found others in its local copy, which is removed now" in told
    assert "Run the same command again" in told
    assert not copy.exists()
    skipfill(*check, expect=code)


def test_advice_with_a_cache(skipfill: Skipfill, with_v2: World, folder: Path) -> None:
    advise = ["advise", "things", "--candidate", "v2", "--items", with_v2.heldout, "--json"]
    plain, *cached = (skipfill(*advise, *more, expect=None) for more in ([], ["--cache"], ["--cache"]))
    for one in cached:
        assert [line["change"] for line in one.document["advice"]["lines"]] == [
            line["change"] for line in plain.document["advice"]["lines"]
        ]
    assert len(list((folder / "galleries").iterdir())) == 1


def test_doctor_names_the_cache_and_prune_removes_it(skipfill: Skipfill, registered: World, folder: Path) -> None:
    skipfill("search", "things", "--items", registered.heldout, "--cache")
    [copy] = (folder / "galleries").iterdir()
    size = copy.stat().st_size
    assert skipfill("doctor", "--json").document["cache"] == {"folder": str(folder), "files": 1, "bytes": size}
    shown = "".join(skipfill("doctor").out.split())
    assert f"{folder},1file,{size:,}bytes" in shown
    skipfill("prune", "--yes")
    asked = skipfill("prune", "--cache")
    assert f"Would remove 1 local file ({size:,} bytes)" in asked.out
    assert "skipfill prune --yes --cache" in asked.err
    assert copy.exists()
    assert skipfill("prune", "--cache", "--yes", "--json").document["cache"]["files"] == 1
    assert not copy.exists()
    assert skipfill("doctor", "--json").document["cache"]["files"] == 0


def test_a_cluster_has_no_cache(skipfill: Skipfill, registered: World) -> None:
    search = ["search", "things", "--items", registered.heldout]
    told = skipfill(*search, "--engine", "ray", "--cache", expect=2).err
    assert "--cache: expected --engine local beside it, found --engine ray" in told
