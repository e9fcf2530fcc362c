"""Which queries belong to which slice of a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput
from skipfill.store.parquet.query_sql import QueryColumns

ALL, TRAINED, OTHERS = "all", "trained-on", "others"
MOST_SLICES = 200

Groups = dict[str, NDArray[np.bool_]]
"""name -> (Q,) bool."""


@dataclass(frozen=True)
class SliceSpec:
    """Attributes:
    predicates: SQL over the queries, each a slice.
    by: SQL expressions; each of their values is a slice.
    least: values with fewer queries share one slice.
    """

    predicates: Sequence[str] = ()
    by: Sequence[str] = ()
    least: int = 30


def grouped(asked: SliceSpec, columns: QueryColumns, known: NDArray[np.bool_]) -> Groups:
    """The slices that are always there, and those that were asked for.

    Args:
        known: (Q,) whether the query is of what the model was trained on.

    Raises:
        BadInput: an expression that is no SQL over the columns, or one with too many values.
    """
    groups: Groups = {ALL: np.ones(len(known), bool), TRAINED: known, OTHERS: ~known}
    for predicate in asked.predicates:
        groups[predicate] = columns.holds(predicate).to_numpy(zero_copy_only=False)
    for expression in asked.by:
        groups |= _by_value(expression, columns.texts(expression), asked.least)
    return groups


def _by_value(expression: str, values: pa.Array, least: int) -> Groups:
    named = pc.fill_null(values, "NULL")
    counts = pc.value_counts(named)
    frequent = sorted(one["values"].as_py() for one in counts if one["counts"].as_py() >= least)
    if len(frequent) > MOST_SLICES:
        raise BadInput(
            f"--slice-by {expression}",
            expected=f"at most {MOST_SLICES} values with {least} queries or more",
            found=f"{len(frequent)}",
            hint="Slice by something coarser, or by predicates with --slice.",
        )
    groups: Groups = {}
    for value in frequent:
        groups[f"{expression} = {value}"] = pc.equal(named, value).to_numpy(zero_copy_only=False)
    rest = ~pc.is_in(named, value_set=pa.array(frequent, pa.string())).to_numpy(zero_copy_only=False)
    if rest.any():
        groups[f"{expression}: rare values"] = rest
    return groups
