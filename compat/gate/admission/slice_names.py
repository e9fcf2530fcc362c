"""Names of slices: those of every check are reserved, and none is given twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from skipfill.compat.gate.admission.ruling import Ruling
from skipfill.store.checks.names import EARLIER_NAMES, EVERY_CHECK
from skipfill.store.errors import Advice, BadInput, Parameter


def no_reserved_name(names: Sequence[str]) -> Ruling:
    """Refuse a slice with a reserved name: it would be taken for the slice that every check has.

    Raises:
        BadInput: a reserved name, in any case and with any spaces.
    """
    reserved = (*EVERY_CHECK, *EARLIER_NAMES)
    for name in names:
        if name.strip().casefold() in reserved:
            raise BadInput(
                Parameter("slice", name),
                expected=f"another name than those of every check ({', '.join(reserved)})",
                found=repr(name),
                hint=Advice("slice_expression", name=name.strip()),
            )
    return Ruling()


def distinct_names(names: Sequence[str]) -> Ruling:
    """Refuse two slices of one name: only one of them would be judged.

    Raises:
        BadInput: a name that is there twice.
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise BadInput(Parameter("slice", name), expected="each slice once", found=f"{count} of this name")
    return Ruling()
