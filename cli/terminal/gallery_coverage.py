"""A note on gallery rows whose class no training item has, for `skipfill train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skipfill.cli.terminal.printing import show_next

if TYPE_CHECKING:
    from collections.abc import Callable

    from skipfill.compat.training.data.coverage import Coverage
    from skipfill.store.models.cards import Card
    from skipfill.store.storage.object_store import ObjectStore

MEASURED = (
    "On BANKING77, CMC@1 of queries of such classes fell from .845 to .405 without a sample, and rose to .895 "
    "with a sample of a tenth of the items (tests/benchmarks/upgrade.py)."
)


def coverage_teller(objects: ObjectStore, gallery: str, model: str, *, quiet: bool) -> Callable[[Coverage], None]:
    """A function that prints the note while the model is being trained."""

    def tell(coverage: Coverage) -> None:
        if note := coverage_note(coverage, gallery, model, _old_model(objects, gallery)):
            show_next(f"Note: {note}", quiet=quiet)

    return tell


def notes_of(objects: ObjectStore, card: Card) -> list[str]:
    """The note on a model that was just trained, for its document."""
    from skipfill.compat.training.data.coverage import Coverage

    coverage = card.training.get("coverage")
    if coverage is None or card.gallery["space"] not in card.views:
        return []
    gallery = card.gallery["name"]
    note = coverage_note(Coverage(**coverage), gallery, card.name, _old_model(objects, gallery))
    return [note] if note else []


def coverage_note(coverage: Coverage, gallery: str, model: str, old_model: str) -> str:
    """Sentences on the rows of a gallery whose class no training item has; empty where there are none.

    Args:
        coverage: of the gallery by the training items.
        gallery: name of the gallery.
        model: name of the model that is trained.
        old_model: name of the model that filled the gallery; empty where it is not in the store.
    """
    said = []
    if coverage.unseen:
        said.append(f"{_share(coverage.unseen, coverage.rows, gallery)} belong to classes that no item has.")
    if coverage.unknown:
        said.append(
            f"{_share(coverage.unknown, coverage.rows, gallery)} have no label, and no item has their id: "
            "they may belong to classes that no item has."
        )
    if said and coverage.sample:
        said.append(
            f"--align gives a sample of {coverage.sample:,} rows, which protects queries for such classes. "
            "The check shows how well."
        )
    elif said:
        said.append("Queries for such classes are likely to get worse.")
        said.append(f"To avoid that, {_remedies(model, old_model)}.")
        said.append(MEASURED)
    return " ".join(said)


def _old_model(objects: ObjectStore, gallery: str) -> str:
    """Name of the model that filled the gallery; empty where it is not in the store."""
    from skipfill.store.galleries.log import latest
    from skipfill.store.models.cards import has_model

    space = latest(objects, gallery).space
    return space if has_model(objects, space) else ""


def _remedies(model: str, old_model: str) -> str:
    align = "add --align SAMPLE.parquet, a tenth of the gallery's items (labels not needed)"
    blend = f", or blend {model} with {old_model} afterwards"
    return align + (blend if old_model else "")


def _share(count: int, rows: int, gallery: str) -> str:
    share = f"{count / rows:.0%}" if count * 100 >= rows else "less than 1%"
    return f"{count:,} of {rows:,} rows of gallery {gallery} ({share})"
