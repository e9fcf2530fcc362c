"""Coverage of a gallery by the items of a training: how many of its rows are of a class that the items have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Coverage:
    """Numbers of gallery rows, by whether the training items have their class.

    Attributes:
        rows: all rows that were read.
        unseen: rows labelled with a class that no training item has.
        unknown: rows without a label whose id no training item has, so that their class is unknown.
        sample: rows whose item is in the unlabelled sample.
    """

    rows: int
    unseen: int
    unknown: int
    sample: int = 0


class CoverageCounter:
    """Counts the rows of a `Coverage`, block by block."""

    def __init__(self) -> None:
        self._rows = self._unseen = self._unknown = 0

    def add(self, labels: pa.Array | None, training: NDArray[np.int64]) -> None:
        """Count M rows.

        Args:
            labels: (M,) labels of the rows, NULL for none; None for a gallery without labels.
            training: (M,) training class of each row, or -1.
        """
        labelled = np.zeros(len(training), bool) if labels is None else labels.is_valid().to_numpy(zero_copy_only=False)
        without_class = training < 0
        self._rows += len(training)
        self._unseen += int((without_class & labelled).sum())
        self._unknown += int((without_class & ~labelled).sum())

    def result(self, sample: int) -> Coverage:
        """The numbers so far.

        Args:
            sample: rows whose item is in the unlabelled sample.
        """
        return Coverage(self._rows, self._unseen, self._unknown, sample)
