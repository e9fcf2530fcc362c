"""Agreement of a gallery's stored vectors with what a model makes of the items with the same ids."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.progress import Progress
from skipfill.store.errors import Advice, BadInput, NotPermitted
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.log import RESTORE
from skipfill.store.models.cards import model_names
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.matching import Match
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.parquet.vectors import Matrix, normalised
from skipfill.store.storage.object_store import ObjectStore

LOOKED_AT = 32
ALIKE = 0.99  # half precision and int8 keep more of a cosine than this
THE_SAME = 0.9999


@dataclass(frozen=True)
class StoredItems:
    """Items beside the stored vectors of their ids.

    Attributes:
        items: N that are rows of a gallery.
        vectors: (N, d) stored with their ids, L2-normalised.
    """

    items: Items
    vectors: Matrix

    def agreement(self, model: LoadedModel) -> NDArray[np.float32]:
        """(N,) cosines of the stored vectors with the first d coordinates of the embeddings; NaN for other dimensions.

        Raises:
            BadInput: the model does not encode such items.
        """
        embedded = encode_all(model, self.items, Progress())[:, : self.vectors.shape[1]]
        if embedded.shape != self.vectors.shape or not embedded.any(axis=1).all():
            return np.full(len(self.vectors), np.nan, np.float32)
        cosines: NDArray[np.float32] = (normalised(embedded) * self.vectors).sum(axis=1)
        return cosines


def stored_items(rows: StoredRows, items: Items) -> StoredItems | None:
    """At least 32 items, if so many are rows, from all parts of the gallery; None when none is.

    Reads no more of a file than it takes to find its share.
    """
    if not rows.files:
        return None
    chosen = np.full(len(items), False)
    vectors = np.zeros((len(items), rows.dim), np.float32)
    files = rows.files[:: math.ceil(len(rows.files) / LOOKED_AT)]
    for path in files:
        missing = math.ceil(LOOKED_AT / len(files))
        for block in rows.file_blocks(path):
            match = Match.of(block, items.ids)
            spread = np.linspace(0, len(match.rows) - 1, min(missing, len(match.rows))).astype(int)
            places = match.places[spread]
            chosen[places], vectors[places] = True, block.vectors[match.rows[spread]]
            missing -= len(spread)
            if missing <= 0:
                break
    return StoredItems(items.restricted(chosen), normalised(vectors[chosen])) if chosen.any() else None


def refuse_another_gallery(gallery: Gallery, old: LoadedModel, items: Items | None, warnings: list[str]) -> None:
    """See that stored vectors are those of the old model, before it encodes queries.

    Args:
        items: of which some may be rows of the gallery; without any, nothing is compared, and `warnings` told.

    Raises:
        BadInput: most are not: the vectors, or the ids, are others.
    """
    some = None if items is None else stored_items(gallery.own_part.rows, items)
    if some is None:
        warnings.append(
            f"whether gallery {gallery.name} holds vectors of {old.card.name} is not known: no item given is a row "
            "of it"
        )
        return
    cosines = some.agreement(old)
    if not _mostly(cosines >= ALIKE):
        raise _another(gallery, old.card.name, cosines, "others")
    _warn_of_few(gallery, old.card.name, cosines, warnings)


def look_at_gallery(
    objects: ObjectStore, gallery: Gallery, new: LoadedModel, items: Items, warnings: list[str], *, old_input: str = ""
) -> None:
    """The same when the old model has nothing to encode: it may be gone, or made for another form of the items.

    Stored queries are then a baseline whoever made them: vectors that are not the old model's are only warned of.

    Args:
        old_input: column that the old model reads; empty for that of the items.

    Raises:
        BadInput: the gallery holds the vectors of the new model.
    """
    name = gallery.space.name
    if new.card.fingerprint == gallery.space.fingerprint:
        return refuse_another_gallery(gallery, new, items, warnings)
    if name not in model_names(objects):
        return
    some = stored_items(gallery.own_part.rows, items)
    try:
        old = verified_model(objects, name)
        if some is None or old.card.fingerprint != gallery.space.fingerprint:
            return
        read_by_old = replace(some, items=some.items.reading(old_input)) if old_input else some
        cosines = read_by_old.agreement(old)
    except BadInput as error:
        warnings.append(f"whether gallery {gallery.name} holds vectors of {name} is not known: {error}")
        return
    if _mostly(cosines >= ALIKE):
        _warn_of_few(gallery, name, cosines, warnings)
    elif _mostly(some.agreement(new) >= THE_SAME):
        raise _another(gallery, name, cosines, f"those of {new.card.name}")
    else:
        warnings.append(str(_another(gallery, name, cosines, "others")))


def models_of_gallery(objects: ObjectStore, gallery: Gallery) -> dict[str, str]:
    """Whether the models of a gallery, those that made its rows and the released one, encode as when they were saved.

    Returns:
        A sentence for each model by name.

    Raises:
        BadInput: one of them is another model than was registered, appended or released, or encodes in another way now.
    """
    release, findings = gallery.version.release, {}
    fingerprints = {one.model: one.fingerprint for one in gallery.rows_by}
    if release is not None:
        fingerprints[release.model] = release.fingerprint
    names = model_names(objects)
    for name, fingerprint in fingerprints.items():
        if not fingerprint or name not in names:
            findings[name] = "not in the store" if fingerprint else "known only by its vectors"
            continue
        warnings: list[str] = []
        try:
            model = verified_model(objects, name, warnings)
        except NotPermitted as error:
            findings[name] = f"not looked at: {error}"
            continue
        if model.card.fingerprint != fingerprint:
            raise BadInput(f"model {name}", expected=fingerprint[:12], found=model.card.fingerprint[:12], hint=RESTORE)
        findings[name] = warnings[0] if warnings else "encodes its witness items as when it was saved"
    return findings


def _another(gallery: Gallery, old: str, cosines: NDArray[np.float32], found: str) -> BadInput:
    return BadInput(
        f"gallery {gallery.name}",
        expected=f"the vectors that {old} makes of the items with the same ids",
        found=f"{found} (cosine {np.median(cosines):.3f} in the middle of {len(cosines)})",
        hint=Advice("register_with_space"),
    )


def _warn_of_few(gallery: Gallery, old: str, cosines: NDArray[np.float32], warnings: list[str]) -> None:
    if few := int((cosines < ALIKE).sum()):
        warnings.append(
            f"{few} of {len(cosines)} stored vectors looked at in gallery {gallery.name} are not what {old} makes of "
            "the items with their ids"
        )


def _mostly(alike: NDArray[np.bool_]) -> bool:
    return bool(2 * alike.sum() > len(alike))
