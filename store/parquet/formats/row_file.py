"""A file of rows that is not Parquet, pinned to the state in which it was opened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import pyarrow as pa

from skipfill.store.errors import BadInput, reason
from skipfill.store.parquet.pinned import FileState, PinnedFile, changed
from skipfill.store.storage.address import Address

UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""The errors of Arrow about content; the last one for the name of a column."""
MOST_REMEMBERED = 256
"""Most files whose fields and number of rows are remembered: a command opens each of them several times."""


class RowFile(PinnedFile):
    """One opened file of rows. It has no footer: its fields and its rows are counted in a pass of their own."""

    kind: str
    """The kind of file, in words."""

    @property
    def metadata(self) -> None:
        """No footer."""

    @property
    def schema_arrow(self) -> pa.Schema:
        return self._fields_and_rows[0]

    @property
    def rows(self) -> range:
        return range(self._fields_and_rows[1])

    @property
    def _fields_and_rows(self) -> tuple[pa.Schema, int]:
        return _looked_at(type(self), self.path, self.state)  # type: ignore[arg-type]  # mypy takes a class for its object

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], *, use_threads: bool = True
    ) -> Iterator[pa.RecordBatch]:
        """Stream columns.

        Raises:
            BadInput: the file cannot be read to its end.
            Stale: it changed.
        """
        try:
            for table in self.tables(columns):
                yield from table.select(list(columns)).to_batches(max_chunksize=batch_size)
        except BadInput:
            self.confirm()
            raise
        except UNREADABLE as error:
            self.confirm()
            raise self.unreadable(error) from error

    def unreadable(self, error: Exception) -> BadInput:
        """The error for content that is not what the first bytes say."""
        return BadInput(
            self.path,
            expected=f"a readable {self.kind}",
            found=reason(error),
            hint="It may be truncated or still being written: copy it again from its source.",
        )

    @abstractmethod
    def look(self) -> tuple[pa.Schema, int]:
        """The fields of the rows, and their number, from a pass over the file."""

    @abstractmethod
    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows in order, with these columns and perhaps others."""


@lru_cache(MOST_REMEMBERED)
def _looked_at(kind: Callable[[Address], RowFile], path: Address, state: FileState) -> tuple[pa.Schema, int]:
    file = kind(path)
    if file.state != state:
        raise changed(path)
    try:
        return file.look()
    except BadInput:
        file.confirm()
        raise
    except UNREADABLE as error:
        file.confirm()
        raise file.unreadable(error) from error
