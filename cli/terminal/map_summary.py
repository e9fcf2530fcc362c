"""The summary of a map that was fitted in closed form, for `skipfill train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skipfill.store.models.cards import Card


def map_summary(card: Card, seconds: float) -> list[str]:
    """Sentences about a map that was fitted in closed form, and what a user should know about its pairs."""
    training, gallery = card.training, card.gallery
    space = gallery["space"]
    lines = [
        f"Fitted {card.name}: {card.method}, dim {card.dim}, onto {card.views[space].dim} dimensions of {space}, "
        f"{training['pairs']:,} pairs with {gallery['name']}, {seconds:.0f} s",
        f"On {training['held_out']:,} held-out pairs: {training['agreement']:.0%} of the 10 nearest rows in the new "
        "space are also found among the stored vectors; mean reciprocal rank of the pair's own row "
        f"{training['reciprocal_rank']:.3f}",
    ]
    if "right_class" in training:
        lines.append(
            f"Of those whose label a stored row also has, {training['right_class']:.0%} find such a row first: this "
            "decides between maps"
        )
    if wrong := training["wrong_pairs"]:
        shown = ", ".join(map(str, training["wrong_ids"]))
        lines.append(
            f"Left out {wrong:,} pairs that are no nearer than random ones: their ids may be mixed up. "
            f"The farthest: {shown}"
        )
    if not training["related"]:
        lines.append("The two spaces have almost nothing in common: keep the old encoder, or check the ids")
    if training["not_tried"]:
        reasons = ", ".join(f"{name} {why}" for name, why in training["not_tried"].items())
        lines.append(f"Not tried: {reasons}")
    return lines
