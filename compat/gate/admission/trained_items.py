"""Items that the model was trained on are left out: by id where queries are rows, and always by content."""

from __future__ import annotations

import numpy as np

from skipfill.compat.gate.admission.ruling import Mask, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.store.errors import Advice, BadInput
from skipfill.store.parquet.digests.item_digests import known_content
from skipfill.store.parquet.items import Items


def ids_of_the_gallerys_type(context: CheckContext, items: Items) -> Ruling:
    """Refuse ids that no row of the gallery can have, where a row of a query's id is the query itself.

    1000 is not "1000": neither the query's own row nor its use in training would be noticed.

    Raises:
        BadInput: ids of another type.
    """
    kind = context.gallery.rows.id_kind
    if context.inputs.queries_are_rows and items.ids.type != kind:
        raise BadInput(
            f"{items.where}, column {items.id_column}",
            expected=f"ids of type {kind}, as in gallery {context.gallery.name}",
            found=str(items.ids.type),
            hint=Advice("name_column", parameter="id"),
        )
    return Ruling()


def trained_ids(context: CheckContext, items: Items) -> Ruling:
    """Leave out queries with the id of an item that the model was trained on. Judged queries have ids of their own."""
    left_out = _of_trained_ids(context, items)
    return Ruling(left_out, notes=_note(context, left_out, "was trained on them"))


def trained_content(context: CheckContext, items: Items) -> Ruling:
    """Leave out queries with the content of an item that the model was trained on, whatever their ids."""
    content = context.training_content
    left_out = known_content(items, content.digests)
    same_ids = _with_trained_ids(context, items)
    notes = _note(context, left_out & ~same_ids, "was trained on their content under other ids")
    if not context.inputs.queries_are_rows:  # such as rows given beside judged queries
        notes += _note(context, left_out & same_ids, "was trained on these rows", of="items")
    if not content.complete:
        notes.append(
            f"items that model {context.model.card.name} was trained on are known by id only, because this model, or "
            "one that it builds on, was made by an older release"
        )
    return Ruling(left_out, notes=notes)


def _of_trained_ids(context: CheckContext, items: Items) -> Mask:
    return _with_trained_ids(context, items) if context.inputs.queries_are_rows else np.zeros(len(items), bool)


def _with_trained_ids(context: CheckContext, items: Items) -> Mask:
    """(N,) bool, the items that have the id of one that the model was trained on."""
    if items.ids.type != context.gallery.rows.id_kind:
        return np.zeros(len(items), bool)
    return context.training_ids.holds(items.ids)


def _note(context: CheckContext, left_out: Mask, reason: str, of: str = "queries") -> list[str]:
    return [f"{left_out.sum()} {of} left out: model {context.model.card.name} {reason}"] if left_out.any() else []
