"""Reads of the gallery's vectors in a check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from skipfill.store.parquet.pinned import PinnedFile
from tests.conftest import Skipfill, World


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the complete reads of the vectors of each file, by its name; reads of some rows do not count."""
    counts: Counter[str] = Counter()
    read = PinnedFile.iter_batches

    def counting(self: PinnedFile, size: int, columns: Sequence[str], **options: Any) -> Iterator[Any]:
        yield from read(self, size, columns, **options)
        counts[str(self.path).rpartition("/")[2]] += "vector" in columns

    monkeypatch.setattr(PinnedFile, "iter_batches", counting)
    return counts


@pytest.mark.parametrize("which", ["gallery_items", "unlabelled"], ids=["items of all rows", "items of some rows"])
@pytest.mark.parametrize("room", [0, 2**28], ids=["a large gallery", "a gallery that fits in memory"])
def test_vectors_are_read_at_most_twice(
    skipfill: Skipfill, with_v2: World, passes: Counter[str], monkeypatch: pytest.MonkeyPatch, room: int, which: str
) -> None:
    """All cells of a check of queries that are not rows, new/new too: the relevant rows once, the other rows once."""
    monkeypatch.setattr("skipfill.compat.gate.context.MOST_BYTES", room)
    items = ("--items", with_v2.heldout, "--gallery-items", with_v2.folder / f"{which}.parquet")
    cells = skipfill("check", "things", "v2", *items, "--json", expect=None).out
    assert "new/new" in cells
    assert passes["gallery.parquet"] == (1 if room else 2)


def test_queries_that_are_rows_are_read_once_more(
    skipfill: Skipfill, with_v2: World, passes: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their stored vectors are the old queries: nothing can be scored before these are read."""
    monkeypatch.setattr("skipfill.compat.gate.context.MOST_BYTES", 0)
    skipfill("check", "things", "v2", "--items", with_v2.gallery_items, "--json", expect=None)
    assert passes["gallery.parquet"] == 3
