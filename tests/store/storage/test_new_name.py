"""New names with hard links and without."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from skipfill.store.storage.new_name import NoNewNames, name_new

LACKING = [errno.EPERM, errno.ENOTSUP, errno.ENOSYS]


def without_links(number: int) -> Any:
    def link(*paths: object) -> None:
        raise OSError(number, os.strerror(number))

    return link


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="renames of Linux and macOS")
@pytest.mark.parametrize("number", LACKING, ids=errno.errorcode.get)
def test_without_links_a_name_is_new_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "link", without_links(number))
    first, second, name = tmp_path / "first", tmp_path / "second", tmp_path / "name"
    first.write_text("1")
    second.write_text("2")
    assert name_new(first, name) == "rename"
    assert not first.exists()
    with pytest.raises(FileExistsError):
        name_new(second, name)
    assert (name.read_text(), second.read_text()) == ("1", "2")


def test_another_error_of_a_link_is_none_of_its_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", without_links(errno.EIO))
    with pytest.raises(OSError, match="Input/output error") as error:
        name_new(tmp_path, tmp_path / "name")
    assert not isinstance(error.value, NoNewNames)
