"""Files that are kept in memory once they were read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skipfill.store.galleries.kept import KeptFiles
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.parquet.stored_rows import BLOCK_ROWS, Columns, StoredRows
from tests.conftest import write_vectors


def test_passes_at_the_same_time_keep_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    files = [write_vectors(tmp_path / f"{name}.parquet", np.ones((100, 64)), range(100)) for name in "ab"]
    stored = StoredRows.open(files, Columns(), None)
    [batch] = PinnedFile(files[0]).iter_batches(BLOCK_ROWS, stored.columns.names)
    kept = KeptFiles(stored, 2 * batch.nbytes - 1)
    for one, other in zip(*map(kept.rows.file_blocks, files), strict=True):
        assert one.ids.equals(other.ids)
    in_memory = [kept.kept(path, BLOCK_ROWS, stored.columns.names) is not None for path in files]
    assert in_memory == [True, False]
