"""Assigns classes to slots, the vertices of a simplex. A class has the same slot in every space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from skipfill.store.errors import Advice, BadInput
from skipfill.store.spaces import Space


def assigned_slots(
    classes: Sequence[str], onto: Sequence[Space], vertices: int, end: Literal["front", "back"]
) -> dict[str, int]:
    """Give each class a slot: the one that the spaces `onto` record, or the next free one from `end` for a new class.

    Args:
        classes: old and new ones; new ones get their slots in this order.
        vertices: K, number of vertices of the simplex.

    Returns:
        Class -> slot, in [0, K).

    Raises:
        BadInput: a space is on another simplex or on none, two spaces disagree, or there are too few vertices.
    """
    slots = _recorded(onto, vertices)
    taken = set(slots.values())
    order = range(vertices) if end == "front" else range(vertices - 1, -1, -1)
    free = [slot for slot in order if slot not in taken]
    new = [label for label in classes if label not in slots]
    if len(new) > len(free):
        raise BadInput(
            "classes",
            expected=f"at most {vertices}, one for each vertex of the simplex, the old ones included",
            found=str(len(slots) + len(new)),
            hint=Advice("choose_method"),
        )
    return slots | dict(zip(new, free, strict=False))


def _recorded(onto: Sequence[Space], vertices: int) -> dict[str, int]:
    """Class -> slot of all the spaces together.

    Raises:
        BadInput: a space is on another simplex or on none, or two spaces disagree.
    """
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
            holder = by_slot.get(slot, label)
            if slots.get(label, slot) != slot or holder != label:
                earlier = label if label in slots else holder
                raise BadInput(
                    f"class slots of {source[earlier]} and {space.name}",
                    expected="one slot for each class and one class for each slot",
                    found=f"{earlier!r} on slot {slots[earlier]} in {source[earlier]}, "
                    f"{label!r} on slot {slot} in {space.name}",
                    hint=Advice("share_slots"),
                )
            slots[label], by_slot[slot] = slot, label
            source.setdefault(label, space.name)
    return slots
