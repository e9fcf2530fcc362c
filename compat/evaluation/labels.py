"""Labels that a measurement requires."""

from __future__ import annotations

import pyarrow as pa

from skipfill.store.errors import BadInput, Hint
from skipfill.store.parquet.items import Items


def required_labels(items: Items, hint: Hint) -> pa.Array:
    """(N,) strings with NULLs: the labels of the items.

    Raises:
        BadInput: they have no label column; `hint` says what to do.
    """
    if items.labels is None:
        raise BadInput(items.where, expected="labels, to know which rows are relevant", found="none", hint=hint)
    return items.labels
