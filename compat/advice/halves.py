"""The two halves of the queries as files: those that chose, and those that a check may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.gate.admission.brought_vectors import with_stored_vectors
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.gate.context import CheckContext
from skipfill.store.errors import BadInput, Parameter
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.items import BLOCK_ROWS, Items
from skipfill.store.storage.output_file import new_file

CHOSE, CHECK = "chose.parquet", "check.parquet"


@dataclass(frozen=True)
class Halves:
    """The queries of the advice.

    Attributes:
        chose: the queries that chose weights and the row to recommend. No check may use them.
        check: the other queries.

    If queries bring old vectors, both also have the gallery rows that prove which model made these.
    """

    chose: Items
    check: Items


def halves_of(context: CheckContext, queries: Items, choosing: Mask) -> Halves:
    """The files of the two halves of Q queries; `choosing` is (Q,) bool."""
    given = context.open_items(context.inputs.items)
    proving = np.zeros(len(given), np.bool_)
    if context.inputs.old_vector:
        proving = with_stored_vectors(context, given) & ~IdSet.of([queries.ids]).holds(given.ids)
    chose, check = (
        given.restricted(IdSet.of([queries.restricted(half).ids]).holds(given.ids) | proving)
        for half in (choosing, ~choosing)
    )
    return Halves(chose, check)


def refuse_files(folder: Path) -> None:
    """Raise `BadInput` if the folder has one of the two files already."""
    for name in (CHOSE, CHECK):
        if (folder / name).exists():
            raise BadInput(Parameter("halves", folder), expected=f"a folder without {CHOSE} and {CHECK}", found=name)


def write_halves(halves: Halves, folder: Path) -> None:
    """Write both halves with all columns of the given files; the folder is made if there is none.

    Raises:
        BadInput: a file is there, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise BadInput(Parameter("halves", folder), expected="a folder that can be written to", found=found) from error
    for name, items in ((CHOSE, halves.chose), (CHECK, halves.check)):
        with new_file(folder / name) as file:
            pq.write_table(_rows(items), file, compression="zstd")


def _rows(items: Items) -> pa.Table:
    """The rows of these items, with the columns of every file."""
    parts, before = [], 0
    for path in items.files:
        file = items.open_file(path)
        names = file.schema_arrow.names
        table = pa.Table.from_batches(file.iter_batches(BLOCK_ROWS, names), file.schema_arrow)
        mine = None if items.keep is None else pa.array(items.keep[before : before + len(table)])
        parts.append(table if mine is None else table.filter(mine))
        before += len(table)
    return pa.concat_tables(parts, promote_options="default")
