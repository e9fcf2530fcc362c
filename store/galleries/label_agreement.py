"""Agreement of the labels of items with those of gallery rows: of the same ids, and in spelling."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import Items


class LabelsOfOneId:
    """Counts how many items have another label than the gallery row with their id."""

    def __init__(self) -> None:
        self.compared = 0
        self.different = 0

    def compare(self, of_rows: pa.Array, of_items: pa.Array) -> NDArray[np.bool_]:
        """Add M pairs: (M,) labels of rows and of the items with the same ids. A pair with a NULL is left out.

        Returns:
            (M,) whether the two differ.
        """
        self.compared += pc.sum(pc.and_(of_rows.is_valid(), of_items.is_valid())).as_py() or 0
        differ: NDArray[np.bool_] = pc.fill_null(pc.not_equal(of_rows, of_items), False).to_numpy(zero_copy_only=False)
        self.different += int(differ.sum())
        return differ

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


@dataclass(frozen=True)
class LabelForms:
    """Labels of items, to find labels of rows that only look the same.

    Attributes:
        own: the items' labels.
        plain: label without differences in spaces, case and Unicode form -> a label of the items that becomes it.
        others: label of items -> a label of rows that differs from it only in these.
    """

    own: pa.Array
    plain: dict[str, str]
    others: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, labels: pa.Array | None) -> LabelForms:
        """The labels of N items; `labels` is None for items without labels."""
        own = pc.unique(labels).drop_null() if labels is not None else pa.array([], pa.string())
        return cls(own, dict(zip(_plain(own).to_pylist(), own.to_pylist(), strict=True)))

    def look_at(self, labels: pa.Array | None) -> None:
        """Add the labels of some rows."""
        if labels is None or not len(self.own):
            return
        of_rows = pc.unique(labels).drop_null()
        of_rows = of_rows.filter(pc.invert(pc.is_in(of_rows, value_set=self.own)))
        for plain, label in zip(_plain(of_rows).to_pylist(), of_rows.to_pylist(), strict=True):
            if plain in self.plain:
                self.others.setdefault(self.plain[plain], label)


def _plain(labels: pa.Array) -> pa.Array:
    single_spaces = pc.replace_substring_regex(pc.utf8_normalize(labels, "NFKC"), r"\s+", " ")
    return pc.utf8_lower(pc.utf8_trim_whitespace(single_spaces))
