"""Are an item and the gallery row of its id one and the same thing? Their labels tell."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import Items


class LabelsOfOneId:
    """Counts items whose label is, or is not, that of the gallery row with their id."""

    def __init__(self) -> None:
        self.compared = 0
        self.different = 0

    def compare(self, stored: pa.Array, own: pa.Array) -> None:
        """(M,) labels of M rows and of the items of the same ids; a pair with a NULL says nothing."""
        self.compared += pc.sum(pc.and_(stored.is_valid(), own.is_valid())).as_py() or 0
        self.different += pc.sum(pc.not_equal(stored, own)).as_py() or 0

    def refuse_mostly_different(self, items: Items, gallery: str) -> None:
        """Ids that are row numbers, say, join things that have nothing to do with each other.

        Raises:
            BadInput: more than half of the labels differ.
        """
        if 2 * self.different > self.compared:
            raise BadInput(
                items.where,
                expected=f"items that are the rows of gallery {gallery} with the same ids",
                found=f"another label for {self.different} of {self.compared}",
                hint="Items and gallery are joined by id: give both the same ids and the same kind of label.",
            )
