"""Rows matched by id against the slow obvious way: one row after the other, in a dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skipfill.store.parquet.matching import matched
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Columns, StoredRows
from tests.conftest import write_vectors

STORED, DIM = 2 * BLOCK_ROWS + 100, 3


def gallery(folder: Path, kind: str) -> tuple[StoredRows, list[Any], np.ndarray, list[str | None]]:
    """Two files of several blocks, and what is in them: ids, vectors, labels with NULLs."""
    random = np.random.default_rng(1)
    numbers = random.permutation(STORED).tolist()
    ids = numbers if kind == "integers" else [f"x{number}" for number in numbers]
    vectors = random.normal(size=(STORED, DIM)).astype(np.float32)
    labels = [None if number % 5 == 0 else f"class-{number % 3}" for number in numbers]
    half = STORED // 3
    files = [
        write_vectors(folder / "a.parquet", vectors[:half], ids[:half], labels[:half]),
        write_vectors(folder / "b.parquet", vectors[half:], ids[half:], labels[half:]),
    ]
    return StoredRows.open(files, Columns(label="label"), None), ids, vectors, labels


def wanted_ids(kind: str) -> pa.Array:
    """Some that are stored and some that are not, in an order of their own."""
    numbers = np.random.default_rng(2).permutation(2 * STORED)[:500].tolist()
    return pa.array(numbers if kind == "integers" else [f"x{number}" for number in numbers])


@pytest.mark.parametrize("kind", ["strings", "integers"])
def test_matched_gives_every_block_and_both_positions(tmp_path: Path, kind: str) -> None:
    rows, ids, vectors, labels = gallery(tmp_path, kind)
    row_of = {identity: row for row, identity in enumerate(ids)}
    wanted = wanted_ids(kind)
    matches = list(matched(rows, wanted))
    assert sum(len(match.block.ids) for match in matches) == STORED
    stored = [match.block.ids[row].as_py() for match in matches for row in match.rows.tolist()]
    assert stored == [wanted[place].as_py() for match in matches for place in match.places.tolist()]
    assert stored == [identity for identity in ids if identity in set(wanted.to_pylist())]
    places = [row_of[identity] for identity in stored]
    np.testing.assert_array_equal(np.concatenate([match.vectors for match in matches]), vectors[places])
    assert [label for match in matches for label in match.labels.to_pylist()] == [labels[row] for row in places]


def test_without_labels_and_with_ids_of_another_type(tmp_path: Path) -> None:
    file = write_vectors(tmp_path / "g.parquet", np.ones((4, DIM)), ["a", "b", "c", "d"])
    rows = StoredRows.open([file], Columns(), None)
    (match,) = matched(rows, pa.array(["d", "z"]))
    assert (match.labels, match.places.tolist(), match.rows.tolist()) == (None, [0], [3])
    assert [len(match.rows) for match in matched(rows, pa.array([1, 2]))] == [0]
    assert [len(match.rows) for match in matched(rows, pa.array([], pa.string()))] == [0]
