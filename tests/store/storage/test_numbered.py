"""The last number of a folder is found without a listing of all, and never missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipfill.store.storage.layout import version_file
from skipfill.store.storage.numbered import NEAR, last_number
from skipfill.store.storage.object_store import ObjectStore


class Listed(ObjectStore):
    """A store that counts the names that it lists."""

    names = 0

    def after(self, prefix: str, name: str) -> list[str]:
        names = super().after(prefix, name)
        self.names += len(names)
        return names


@pytest.mark.parametrize("last", [0, 1, 99, 100, 101, 299, 300, 301, 950, 1_501])
def test_the_last_number_by_a_short_listing(tmp_path: Path, last: int) -> None:
    objects = Listed(tmp_path)
    (tmp_path / "log").mkdir()
    for number in range(1, last + 1):
        (tmp_path / "log" / version_file(number)).touch()
    (tmp_path / "log" / "notes.txt").touch()
    assert last_number(objects, "log") == last
    assert objects.names <= NEAR + 1
    objects.names = 0
    assert last_number(objects, "log", last) == last
    assert objects.names <= 1  # the stray file


@pytest.mark.parametrize("lost", [1, 100, 300, 400, 799, 800])
def test_a_hole_hides_nothing(tmp_path: Path, lost: int) -> None:
    (tmp_path / "log").mkdir()
    for number in {*range(1, 802)} - {lost}:
        (tmp_path / "log" / version_file(number)).touch()
    assert last_number(ObjectStore(tmp_path), "log") == 801
