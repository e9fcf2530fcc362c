"""Which models made the rows of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skipfill.store.parquet_files import FilePrint


@dataclass(frozen=True)
class RowsBy:
    """Rows of a gallery that one model made.

    Attributes:
        model: its name; that of the space for the space's own, and for an encoder known only by its vectors.
        fingerprint: of that model; empty for an encoder known only by its vectors.
    """

    model: str
    fingerprint: str
    rows: int


def rows_by(model: str, fingerprint: str, files: Sequence[FilePrint]) -> list[RowsBy]:
    """The rows of these files by model, those of the space's own `model` first."""
    rows = {(model, fingerprint): 0}
    for one in files:
        made = (one.model, one.encoder) if one.encoder else (model, fingerprint)
        rows[made] = rows.get(made, 0) + one.rows
    return [RowsBy(*made, count) for made, count in rows.items()]
