"""Images that a Parquet file only names."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from skipfill.store.errors import BadInput
from skipfill.store.parquet.inputs import inputs_of


def read(folder: Path, *names: str | None) -> object:
    rows = [{"bytes": None, "path": name} for name in names]
    column = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    return inputs_of("image", column, "x.parquet, column image", folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside.png").write_bytes(b"secret")
    folder = tmp_path / "folder"
    (folder / "images").mkdir(parents=True)
    (folder / "inside.png").write_bytes(b"image")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_an_image_beside_the_file_is_read(folder: Path) -> None:
    assert read(folder, "inside.png", "images/../inside.png") == [b"image", b"image"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("../outside.png", "'../outside.png', outside its folder"),
        ("/etc/hostname", "'/etc/hostname', outside its folder"),
        ("link.png", "'link.png', outside its folder"),
        ("missing.png", "'missing.png', which does not exist"),
        ("pipe.png", "'pipe.png', a pipe or a device"),
        ("images", "'images', a folder"),
        ("x" * 5_000, "File name too long"),
        ("a\0b", "'a\\x00b'"),
        ("", "no bytes and no path"),
        (None, "no bytes and no path"),
    ],
)
def test_any_other_path_is_named(folder: Path, name: str | None, found: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(folder, "inside.png", name)
    message = str(refused.value)
    assert message.startswith("x.parquet, column image, row 1: expected an image's bytes, or a path")
    assert found in message
    assert len(message) < 500


def test_bytes_that_are_missing_are_missing(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"row 1: .* found no bytes"):
        inputs_of("image", pa.array([b"x", None]), "x.parquet, column image", folder)
