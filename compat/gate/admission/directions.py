"""Query vectors must have a direction: the cosine of a zero vector is not a number."""

from __future__ import annotations

import numpy as np

from skipfill.compat.gate.admission.ruling import Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.store.errors import BadInput
from skipfill.store.parquet.vectors import Matrix


def with_a_direction(context: CheckContext, by_pair: dict[str, Matrix]) -> Ruling:
    """Refuse query vectors that are zero or not finite: their ranks would be chance.

    Args:
        by_pair: query model / gallery space -> (Q, d).

    Raises:
        BadInput: there are some.
    """
    for pair, vectors in by_pair.items():
        good = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
        if bad := int((~good).sum()):
            raise BadInput(
                f"query vectors of {pair}",
                expected="vectors that are finite and not all zeros",
                found=f"{bad} of {len(vectors)} that are not",
            )
    return Ruling()
