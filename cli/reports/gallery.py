"""A gallery as people and programs read it: rows, files, space, and the model that queries use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from skipfill.cli.terminal.printing import emit, facts, policy_line, show_next

if TYPE_CHECKING:
    from pyarrow import Schema

    from skipfill.cli.documents.galleries import GalleryDocument
    from skipfill.store.galleries.gallery import Gallery
    from skipfill.store.storage.object_store import ObjectStore


def crowding_note(objects: ObjectStore, later: str, space: str) -> str:
    """The warning about rows by later models than that of the gallery's space, and the way around them."""
    from skipfill.store.models.cards import has_model

    instead = "Search before and after, and compare."
    if has_model(objects, space):
        instead = (
            f"While {space} is in the store, encode new rows with it: "
            f"skipfill encode {space} ITEMS.parquet -o ROWS.parquet"
        )
    return f"Note: in results, rows by {later} tend to crowd out the rows by {space}. {instead}"


def show_gallery(
    gallery: Gallery,
    *,
    as_json: bool,
    title: str,
    as_document: Callable[..., GalleryDocument] | None = None,
    rows: Sequence[tuple[str, str]] = (),
) -> None:
    """Print a gallery.

    Args:
        as_document: makes its document, where that has further fields, from the fields of a `GalleryDocument`.
        rows: further lines for people.
    """
    from skipfill.cli.documents.galleries import GalleryDocument

    now, makers = gallery.version, gallery.rows_by
    mixed = [(f"rows by {one.model}", f"{one.rows:,}") for one in makers] if len(makers) > 1 else []
    document = (as_document or GalleryDocument)(gallery.name, now, gallery.space, gallery.files, makers)
    lines = [
        ("rows", f"{now.rows:,}" + (", mixed" if mixed else "")),
        *mixed,
        ("files", f"{len(gallery.files)} ({sum(one.bytes for one in gallery.files) / 1e6:,.1f} MB)"),
        ("space", f"{gallery.space.name}, dim {gallery.space.dim}, {gallery.space.metric}"),
        ("columns", ", ".join(f"{role}: {column}" for role, column in now.columns.items() if column)),
        ("version", now.number),
        ("queries use", now.queries_use),
        ("policy", policy_line(now)),
        *rows,
    ]
    emit(
        document,
        as_json=as_json,
        show=lambda out: out.print(Text(f"{title} {gallery.name}", "bold"), facts(lines), sep="\n"),
    )


def note_other_vectors(schema: Schema, vector: str, gallery: str, *, quiet: bool) -> None:
    """Say which other columns of a gallery's files hold vectors: a file of items is easily mistaken for the gallery."""
    from skipfill.store.parquet.vectors import is_vector_type

    others = [field.name for field in schema if field.name != vector and is_vector_type(field.type)]
    if others:
        show_next(
            f"note: the stored vectors are those of column {vector}; the files also have vectors in "
            f"{', '.join(others)}. If you meant one of these: skipfill gallery drop {gallery} --confirm {gallery}, "
            "then add it again with --vector COLUMN. A space keeps its dimension: if that column has another one, also "
            "with another name for --space",
            quiet=quiet,
        )
