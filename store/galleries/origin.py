"""Finds the model that made the vectors of a file. The file's metadata names it, and the model's card must agree.

A gallery's rows are in one space. Most are by the space's own model, or by an encoder that the store does not have. A
later model with a view onto the space may add more rows, in that view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from skipfill.store.errors import Advice, BadInput, Hint, SkipfillError
from skipfill.store.galleries.log import newest_version
from skipfill.store.models.cards import has_model, load_card, view_onto
from skipfill.store.parquet.files import ParquetReader, encoded_by
from skipfill.store.parquet.stored_rows import Columns, OpenFile, StoredRows
from skipfill.store.spaces import Space
from skipfill.store.storage.address import Address
from skipfill.store.storage.layout import GALLERIES
from skipfill.store.storage.object_store import ObjectStore


def rows_of_space(
    objects: ObjectStore, files: Sequence[Address], columns: Columns, space: Space, open_file: OpenFile, hint: Hint
) -> StoredRows:
    """Open files whose vectors have the dimension of `space`. If that is 0, any dimension will do.

    Args:
        hint: the next step if the dimension is another.

    Raises:
        BadInput: they have another dimension, or cannot be used at all.
    """
    rows = StoredRows.open(files, columns, None, open_file)
    if space.dim not in (0, rows.dim):
        raise BadInput(
            f"space {space.name}",
            expected=f"{space.dim:,} dimensions{_registered_with(objects, space)}",
            found=f"{rows.dim:,} in {files[0]}, column {columns.vector}",
            hint=hint,
        )
    return rows


def _registered_with(objects: ObjectStore, space: Space) -> str:
    """The model or the galleries of a space, dropped ones included, in brackets; empty if there are none."""
    if has_model(objects, space.name):
        return f" (those of model {space.name})"
    users = []
    for gallery in objects.children(GALLERIES):
        with suppress(SkipfillError):  # damage elsewhere does not hide this
            newest = newest_version(objects, gallery)
            if newest is not None and newest.space == space.name:
                users.append(f"{gallery}, dropped" if newest.action == "dropped" else gallery)
    kind = "gallery" if len(users) == 1 else "galleries"
    return f" (registered with {kind} {'; '.join(users)})" if users else ""


def made_by_another(path: Address, file: ParquetReader, space: Space) -> bool:
    """Tell whether a file says that its vectors are by a model other than that of `space`, or in another space."""
    by = encoded_by(path, file.schema_arrow)
    if not by.get("fingerprint"):
        return False
    if "space" not in by:
        return bool(space.fingerprint) and by["fingerprint"] != space.fingerprint
    return by["fingerprint"] != space.fingerprint or by["space"] != space.name


@dataclass(frozen=True)
class RowOrigin:
    """The model that made a file, where it is not the space's own.

    Attributes:
        model: its name; empty for the space's own model, or where the file names none.
        fingerprint: of that model; empty when `model` is empty.
    """

    model: str = ""
    fingerprint: str = ""


def row_origin(objects: ObjectStore, path: Address, file: ParquetReader, space: Space) -> RowOrigin:
    """Find the model that made a file for a gallery of `space`, and verify it by its card.

    Args:
        file: the file at `path`, opened.

    Raises:
        BadInput: the vectors are in another space, or not by the model of that name in this store.
    """
    if not made_by_another(path, file, space):
        return RowOrigin()
    by = encoded_by(path, file.schema_arrow)
    _refuse_other_space(path, by, space)
    model = by.get("model", "")
    if not has_model(objects, model):
        raise _unverifiable(path, by, f"model {model} in this store, to verify them with", "none")
    card = load_card(objects, model)
    view = view_onto(card, space.name)
    if card.fingerprint != by["fingerprint"]:
        raise _unverifiable(path, by, f"vectors by model {model} ({card.fingerprint[:12]})", by["fingerprint"][:12])
    if by.get("view") != str(view):
        raise _unverifiable(path, by, f"vectors in the view {view} onto {space.name}", by.get("view", "none"))
    if space.metric != "cosine":
        raise BadInput(
            path,
            expected="vectors by the encoder of the gallery, because it is searched by inner product",
            found=f"vectors of length 1 by {model}",
            hint="Vector lengths of two encoders cannot be compared.",
        )
    return RowOrigin(model, card.fingerprint)


def _refuse_other_space(file: Address, by: Mapping[str, str], space: Space) -> None:
    space_of_file = by.get("space", by.get("model", ""))
    if space_of_file != space.name:
        raise BadInput(
            file,
            expected=f"vectors in space {space.name}",
            found=f"vectors by {by.get('model')} ({by['fingerprint'][:12]}) in space {space_of_file}",
            hint=Advice("encode_in_view", model=by.get("model"), space=space.name),
        )


def _unverifiable(file: Address, by: Mapping[str, str], expected: str, found: str) -> BadInput:
    again = Advice("encode_again", model=by.get("model"), space=by.get("space"))
    return BadInput(file, expected=expected, found=found, hint=again)
