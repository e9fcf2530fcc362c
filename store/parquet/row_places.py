"""The place of a row in a file, for messages: readers know blocks, users know rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BlockPlace:
    """The place of a block of rows.

    Attributes:
        within: file and column.
        rows: the number in the file of each of its rows, from 0.
    """

    within: str
    rows: Sequence[int] | NDArray[np.int64]

    def __str__(self) -> str:
        return self.within if len(self.rows) == 0 or self.rows[0] == 0 else f"{self.within}, from row {self.rows[0]} on"


def row_place(where: object, row: int) -> str:
    """The place of row number `row` of what `where` names, such as `gallery.parquet, column vector, row 7`."""
    if isinstance(where, BlockPlace):
        return f"{where.within}, row {where.rows[row]}"
    return f"{where}, row {row}"
