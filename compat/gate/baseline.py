"""Query vectors of the old model: the stored ones, or the old model's own."""

from __future__ import annotations

from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.compat.inference.encode import encoded
from skipfill.compat.inference.gallery_agreement import look_at_gallery, refuse_another_gallery
from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.witness import refuse_changed
from skipfill.compat.progress import Progress
from skipfill.store.errors import BadInput, NotPermitted
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import ObjectStore


def old_queries(
    objects: ObjectStore,
    gallery: Gallery,
    model: LoadedModel,
    queries: Items,
    truth: QueryLookup,
    inputs: CheckInputs,
    progress: Progress,
    warnings: list[str],
) -> tuple[Matrix, str]:
    """The queries' vectors by the old model, and where they come from: the stored rows of their ids, or the encoder.

    Some stored vectors are compared with what the old model, if it is at hand, makes of their items.

    Raises:
        BadInput: the gallery lacks some of the ids, and the encoder that filled it is not in the store or encodes in
            another way now; or the gallery is not of that encoder.
    """
    if truth.old.all():
        look_at_gallery(objects, gallery, model, queries, warnings)
        return truth.vectors, "stored vectors of the queries' ids"
    try:
        old = load_model(objects, gallery.space.name)
    except NotPermitted:
        raise
    except BadInput as error:
        raise BadInput(
            queries.where,
            expected=f"queries whose ids gallery {gallery.name} stores, since old model {gallery.space.name} is gone",
            found=f"{int((~truth.old).sum())} of {len(queries)} ids that it does not have"
            + (" or has by a later model" if len(gallery.rows_by) > 1 else ""),
            hint="Choose held-out items that are rows of the gallery.",
        ) from error
    if old.card.fingerprint != gallery.space.fingerprint:
        raise BadInput(
            f"model {old.card.name}",
            expected=f"the encoder that filled the gallery ({gallery.space.fingerprint[:12]})",
            found=f"another ({old.card.fingerprint[:12]})",
        )
    refuse_changed(objects, old, warnings)
    rows = queries.restricted(truth.old) if truth.old.any() else None
    if rows is None and inputs.gallery_items:
        rows = open_items(inputs.gallery_items, inputs.columns)
    refuse_another_gallery(gallery, old, rows, warnings)
    return encoded(old, queries, progress), f"encoded by {old.card.name}"
