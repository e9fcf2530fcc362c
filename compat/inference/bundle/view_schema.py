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


@dataclass(frozen=True)
class BlendDescription:
    """A view that is a blend, see `network.Blend`."""

    space: str
    dim: Annotated[int, Range(1, WIDEST)]
    weight: float | None


def refuse_views(card: Card, maps: list[MapDescription], blend: BlendDescription | None, where: str) -> None:
    """Raise `BadInput` where a view of the card has no map or blend in the network, or one of these has no view."""
    of_network: dict[str, tuple[str, int]] = {one.space: (one.kind, one.dim_out) for one in maps}
    if blend is not None:
        of_network[blend.space] = ("blend", blend.dim)
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


def refuse_blend(blend: BlendDescription, maps: list[MapDescription], dims: tuple[int, int], where: str) -> None:
    """Raise `BadInput` unless the blend mixes vectors of one dimension, with a weight from 0 to 1.

    Args:
        dims: of the network, and of the older one in it; the second is 0 where items bring the old vectors.
    """
    place = f"{where}, blend for {valid_name('space', blend.space)}"
    read_described(BlendDescription, asdict(blend), place)
    dim, old = dims
    view = next((one.dim_out for one in maps if one.space == blend.space), min(dim, blend.dim))
    if view != blend.dim or old not in (0, blend.dim):
        found = f"{view:,} of the view, {old:,} of the old network"
        raise BadInput(place, expected=f"{blend.dim:,} coordinates on both sides", found=found)
    if blend.weight is not None and not 0 <= blend.weight <= 1:
        raise BadInput(f"{place}, weight", expected="a number from 0 to 1", found=str(blend.weight))
