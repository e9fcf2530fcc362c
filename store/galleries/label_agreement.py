"""Agreement of items with the gallery rows of the same ids, by their labels."""

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

    def compare(self, of_rows: pa.Array, of_items: pa.Array) -> None:
        """Add M pairs: (M,) labels of rows and of the items with the same ids. A pair with a NULL is left out."""
        self.compared += pc.sum(pc.and_(of_rows.is_valid(), of_items.is_valid())).as_py() or 0
        self.different += pc.sum(pc.not_equal(of_rows, of_items)).as_py() or 0

    def refuse_mostly_different(self, items: Items, gallery: str) -> None:
        """Raise `BadInput` where more than half of the labels differ.

        Ids that are row numbers, for example, join items with rows of other items.
        """
        if 2 * self.different > self.compared:
            raise BadInput(
                items.where,
                expected=f"items that are the rows of gallery {gallery} with the same ids",
                found=f"another label for {self.different} of {self.compared}",
                hint="Items and gallery are joined by id: give both the same ids and the same kind of label.",
            )
