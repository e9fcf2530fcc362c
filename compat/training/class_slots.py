"""Which vertex of a simplex stands for which class: old slots never move, and what shares a space agrees on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from skipfill.store.errors import Advice, BadInput
from skipfill.store.spaces import Space


def assigned_slots(
    classes: Sequence[str], onto: Sequence[Space], vertices: int, end: Literal["front", "back"]
) -> dict[str, int]:
    """Class -> slot: the recorded slots of the spaces `onto`, and the nearest free ones to `end` for new classes.

    Args:
        classes: those of `onto` and the new ones; new ones get their slots in this order.
        vertices: K, of the simplex.

    Raises:
        BadInput: a space on another simplex or on none, two spaces that disagree, or too few vertices.
    """
    slots = _agreed(onto, vertices)
    taken = set(slots.values())
    ahead = range(vertices) if end == "front" else range(vertices - 1, -1, -1)
    free = [slot for slot in ahead if slot not in taken]
    new = [label for label in classes if label not in slots]
    if len(new) > len(free):
        raise BadInput(
            "classes",
            expected=f"at most {vertices}, one for each vertex of the simplex, the old ones included",
            found=str(len(slots) + len(new)),
            hint=Advice("choose_method"),
        )
    return slots | dict(zip(new, free, strict=False))


def _agreed(onto: Sequence[Space], vertices: int) -> dict[str, int]:
    slots: dict[str, int] = {}
    by_slot: dict[int, str] = {}
    source: dict[str, str] = {}
    for space in onto:
        if space.dim != vertices - 1 or not space.slots:
            raise BadInput(
                f"space {space.name}",
                expected=f"the same simplex: dimension {vertices - 1}, with recorded class slots",
                found=f"dimension {space.dim}, with {'slots' if space.slots else 'no slots'}",
                hint="Name a model of a simplex method with as many vertices, or choose another method.",
            )
        for label, slot in space.slots.items():
            other = by_slot.get(slot, label)
            if slots.get(label, slot) != slot or other != label:
                one, there = (label, slots[label]) if label in slots else (other, slot)
                raise BadInput(
                    f"class slots of {source[one]} and {space.name}",
                    expected="one slot for each class and one class for each slot",
                    found=f"{one!r} on slot {there} in {source[one]}, {label!r} on slot {slot} in {space.name}",
                    hint=Advice("share_slots"),
                )
            slots[label], by_slot[slot] = slot, label
            source.setdefault(label, space.name)
    return slots
