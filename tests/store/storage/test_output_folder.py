"""A folder appears whole, replaces only what an earlier block wrote, and stays as it was when the block fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skipfill.store.errors import BadInput
from skipfill.store.storage.output_folder import new_folder, write_record
from tests.conftest import tree

RECORD = "record.json"


def write(path: Path, **files: str) -> None:
    with new_folder(path, RECORD) as folder:
        for name, text in files.items():
            (folder / "inner").mkdir(exist_ok=True)
            (folder / "inner" / name).write_text(text)
        write_record(folder, RECORD, {"made": "here"})


def test_it_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", one="1", two="2")
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert (record["made"], [*record["files"]]) == ("here", ["inner/one", "inner/two"])
    write(tmp_path / "out", three="3")
    assert tree(tmp_path).keys() == {"out/inner/three", f"out/{RECORD}"}


def test_a_file_that_the_user_changed_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "out", one="1")
    (tmp_path / "out" / "inner" / "one").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(BadInput, match="inner/one"):
        write(tmp_path / "out", one="1")
    assert tree(tmp_path) == before


def test_a_block_that_fails_leaves_the_earlier_folder(tmp_path: Path) -> None:
    write(tmp_path / "out", one="1")
    before = tree(tmp_path)

    def fail() -> None:
        with new_folder(tmp_path / "out", RECORD) as folder:
            (folder / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert tree(tmp_path) == before


def test_a_file_that_somebody_puts_there_meanwhile_is_kept(tmp_path: Path) -> None:
    def be_late() -> None:
        with new_folder(tmp_path / "out", RECORD) as folder:
            write_record(folder, RECORD, {})
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "notes").write_text("mine")

    with pytest.raises(BadInput, match="found notes"):
        be_late()
    assert tree(tmp_path) == {"out/notes": b"mine"}


@pytest.mark.parametrize("path", [".", "/"])
def test_a_folder_that_cannot_be_renamed(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="expected a folder with a name, found the current folder or the root"):
        write(Path(path), one="1")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("record", ["no JSON", "[]", '{"files": ["notes"]}', '{"files": 3}'])
def test_a_record_that_is_none(record: str, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    (tmp_path / RECORD).write_text(record)
    with pytest.raises(BadInput, match="found notes"), new_folder(tmp_path, RECORD):
        raise AssertionError
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(BadInput, match="expected a folder that can be written"),
        new_folder(tmp_path / "file" / "out", RECORD),
    ):
        raise AssertionError
