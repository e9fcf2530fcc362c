"""Schema of the views in a bundle: maps onto other spaces, and the card's views by them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from skipfill.compat.settings import WIDEST, Range, read_described
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import Card
from skipfill.store.storage.layout import valid_name

MOST_MAPS = 256


@dataclass(frozen=True)
class MapDescription:
    """A map of the network's own space onto another, see `nn.view_maps`; `hidden` is 0 for a linear one."""

    space: str
    kind: Literal["linear", "residual"]
    dim_in: Annotated[int, Range(1, WIDEST)]
    dim_out: Annotated[int, Range(1, WIDEST)]
    hidden: Annotated[int, Range(0, WIDEST)]


def refuse_views(card: Card, maps: list[MapDescription], where: str) -> None:
    """Raise `BadInput` where a view of the card has no map in the network, or a map no view."""
    of_network = {one.space: (one.kind, one.dim_out) for one in maps}
    of_card = {space: (view.kind, view.dim) for space, view in card.views.items() if view.kind != "prefix"}
    for space in sorted(of_network.keys() | of_card.keys()):
        expected, found = of_network.get(space, ("none", 0)), of_card.get(space, ("none", 0))
        if expected != found:
            place = f"{where}, view onto {space[:80]}"
            raise BadInput(place, expected=f"{expected[0]} {expected[1]}", found=f"{found[0]} {found[1]}")


def refuse_maps(maps: list[MapDescription], dim: int, where: str) -> None:
    """Raise `BadInput` unless the maps are of a network of `dim` dimensions, with sizes within their ranges."""
    if len(maps) > MOST_MAPS or len({one.space for one in maps}) < len(maps):
        raise BadInput(f"{where}, maps", expected=f"at most {MOST_MAPS} maps, one a space", found=str(len(maps)))
    for one in maps:
        place = f"{where}, map onto {valid_name('space', one.space)}"
        read_described(MapDescription, asdict(one), place)
        if one.dim_in != dim:
            raise BadInput(place, expected=f"a map of {dim:,} coordinates, as the network has", found=f"{one.dim_in:,}")
        if (one.hidden > 0) != (one.kind == "residual"):
            raise BadInput(place, expected="a hidden layer in a residual map, and in no other", found=str(one.hidden))
