"""Old query vectors that the user gives. Some gallery rows must show that the gallery's model made them."""

from __future__ import annotations

import numpy as np

from skipfill.compat.gate.admission.ruling import Finding, Mask, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.compat.inference.gallery_agreement import ALIKE, FEWEST_ALIKE, LOOKED_AT, stored_items
from skipfill.store.checks.names import BROUGHT_VECTORS
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.inputs import refuse_no_column
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import matched
from skipfill.store.parquet.vectors import Matrix, normalised


def brought_vectors(items: Items, column: str, dim: int, parameter: str = "old_vector") -> Matrix:
    """(Q, d) vectors in a column of the items.

    Args:
        parameter: the input that names the column, for errors.

    Raises:
        BadInput: no such column, or vectors of another dimension than the gallery's.
    """
    where = Parameter(parameter, column)
    refuse_no_column(items.files, column, parameter)
    read = items.reading(column)
    if read.kind != "vector":
        raise BadInput(where, expected="a column of vectors", found=f"{read.kind}s")
    vectors = np.concatenate([np.asarray(block.inputs, np.float32) for block in read.blocks()])
    if vectors.shape[1] != dim:
        raise BadInput(where, expected=f"vectors of dimension {dim}, as the gallery's", found=f"{vectors.shape[1]}")
    return vectors


def vectors_of_the_gallerys_model(context: CheckContext) -> Ruling:
    """Find that too few of the brought vectors agree with stored ones: any model beats a baseline of noise.

    Raises:
        BadInput: there are enough queries that are rows, and most of their vectors differ from the stored ones: the
            column is of another space.
    """
    column = context.inputs.old_vector
    if not column:
        return Ruling()
    cosines = np.concatenate([np.zeros(0), *(_cosines(context, files) for files in _files(context))])
    alike = int((cosines >= ALIKE).sum())
    if alike >= LOOKED_AT and alike >= FEWEST_ALIKE * len(cosines):
        return Ruling()
    if context.inputs.queries_are_rows and len(cosines) >= LOOKED_AT and 2 * alike < len(cosines):
        raise BadInput(
            Parameter("old_vector", column),
            expected=f"vectors of the encoder that filled gallery {context.gallery.name}",
            found=f"others: of {len(cosines)} items that are rows, {alike} have the stored vector",
            hint=Advice("bring_vectors_of_the_space", space=context.gallery.space.name),
        )
    claim = f"old vectors that agree with the gallery's, for at least {LOOKED_AT} of its rows among the items"
    found = f"{len(cosines)} of the rows looked at have vectors in column {column}, and {alike} of these agree"
    return Ruling(findings=[Finding(BROUGHT_VECTORS, alike, claim, found)])


def rows_of_the_old_input(context: CheckContext, items: Items, lookup: QueryLookup) -> Ruling:
    """Find that no gallery row was given with the column that the old model encodes: it could be any column.

    Where some were, the old model must make of them what is stored: see `refuse_another_gallery`.
    """
    column = context.inputs.old_input
    if not column or lookup.by_old.any():
        return Ruling()
    rows = context.gallery.own_part.rows
    files = context.inputs.gallery_items
    of_rows = stored_items(rows, context.open_items(files)) if files else None
    if of_rows is not None and of_rows.items.has(column):
        return Ruling()
    claim = f"rows of the gallery with column {column} among the items, to verify that the gallery's model encoded it"
    return Ruling(findings=[Finding("rows of the old input", 0, claim, "there is none")])


def rows_beside_judged_queries(context: CheckContext, items: Items, lookup: QueryLookup) -> Ruling:
    """Leave out rows of the gallery that came with judged queries to show whose vectors these have.

    A row is recognised by its vector: a query may have the id of a row.
    """
    if not context.inputs.old_vector or context.inputs.queries_are_rows:
        return Ruling()
    return Ruling(with_stored_vectors(context, items) & (lookup.relevant == 0))


def with_stored_vectors(context: CheckContext, items: Items) -> Mask:
    """(N,) bool, the items that bring the vector that is stored under their id."""
    are_rows = np.zeros(len(items), bool)
    brought = brought_vectors(items, context.inputs.old_vector, context.gallery.space.dim)
    for match in matched(context.gallery.rows, items.ids):
        with np.errstate(invalid="ignore"):
            cosines = (normalised(brought[match.places]) * normalised(match.vectors)).sum(axis=1)
        are_rows[match.places[cosines >= ALIKE]] = True
    return are_rows


def _files(context: CheckContext) -> list[Items]:
    """The items, and those of gallery rows where they have the column too. A row that is in both counts once."""
    inputs = context.inputs
    items = context.open_items(inputs.items)
    if not inputs.gallery_items:
        return [items]
    of_rows = context.open_items(inputs.gallery_items)
    others = of_rows.restricted(~IdSet.of([items.ids]).holds(of_rows.ids))
    return [items, others] if len(others) and of_rows.has(inputs.old_vector) else [items]


def _cosines(context: CheckContext, items: Items) -> Matrix:
    """(N,) cosines of some rows' brought vectors with the stored ones; NaN for those without a direction."""
    rows = context.gallery.own_part.rows
    some = stored_items(rows, items)
    if some is None:
        return np.zeros(0, np.float32)
    brought = brought_vectors(some.items, context.inputs.old_vector, rows.dim)
    with np.errstate(invalid="ignore"):
        cosines: Matrix = (normalised(brought) * some.vectors).sum(axis=1)
    return cosines
