"""Names in check reports: pairs of query model and gallery space, and the slices of every check."""

from __future__ import annotations

from collections.abc import Iterable

OLD_OLD = "old/old"
"""Queries by the old model among the stored rows: the search before the first swap."""
NEW_OLD = "new/old"
"""Queries by the new model, viewed in the old space, among the same rows: the search after the swap."""
RELEASED_OLD = "released/old"
"""Queries by the released model among the same rows, where it is neither the old nor the new model."""
NEW_NEW = "new/new"
"""Queries by the new model among rows that it encoded again: the search after a full reindex."""
CEILING = "ceiling"
"""The same by an independent model, trained without regard to compatibility."""

ALL, SEEN, UNSEEN = "all", "seen", "unseen"
"""All queries, those of classes that the new model was trained on, and the rest."""
EVERY_CHECK = (ALL, SEEN, UNSEEN)
"""The slices that every check has."""
EARLIER_NAMES = {"trained-on": SEEN, "others": UNSEEN}
"""Names of such slices in reports before format 5 -> those of today."""


def before_swap(pairs: Iterable[str]) -> str:
    """The pair, of those measured, that queries use before the swap: released/old, or else old/old."""
    return RELEASED_OLD if RELEASED_OLD in pairs else OLD_OLD


def is_of_every_check(name: str) -> bool:
    """Whether every check has a slice of this name, which may be an earlier name."""
    return EARLIER_NAMES.get(name, name) in EVERY_CHECK


def todays(names: Iterable[str]) -> tuple[str, ...]:
    """Today's names of these slices, each once."""
    return tuple(dict.fromkeys(EARLIER_NAMES.get(name, name) for name in names))


def encoded_by(model: str) -> str:
    """The baseline of a check whose old query vectors were made by `model` during the check."""
    return f"encoded by {model}"


GIVEN = "given in column "


def given_in(column: str) -> str:
    """The baseline of a check whose queries brought the old model's vectors in a column."""
    return GIVEN + column


def column_of(baseline: str) -> str:
    """The column that brought the old model's vectors of a check; empty where none did."""
    return baseline.removeprefix(GIVEN) if baseline.startswith(GIVEN) else ""


BROUGHT_VECTORS = "vectors of the gallery's model"
"""Rule of admission of vectors that are given as the old model's: too few rows show that they are."""
