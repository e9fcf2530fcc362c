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
"""Stored vectors that are looked at, about, spread over the files."""
ALIKE = 0.99  # half precision and int8 change a cosine by less
THE_SAME = 0.9999
"""Cosine from which a stored vector is taken for one of the model that is checked; stricter, as that is an error."""
FEWEST_ALIKE = 0.95
"""Share of the compared vectors that must agree to be one model's; not all, as some items may have changed since."""


@dataclass(frozen=True)
class Agreement:
    """Stored vectors of N items beside those that a model makes of them.

    Attributes:
        model: its name.
        embedded: (N, d) the first d coordinates of the model's embeddings, L2-normalised; zeros where it has none.
        cosines: (N,) of the two; NaN for other dimensions.
    """

    model: str
    embedded: Matrix
    cosines: NDArray[np.float32]

    @property
    def alike(self) -> NDArray[np.bool_]:
        """(N,) bool, whether the stored vector is the model's."""
        return self.cosines >= ALIKE

    @property
    def mostly_alike(self) -> bool:
        """Whether more than half of them are the model's."""
        return _mostly(self.alike)

    @property
    def nearly_all_alike(self) -> bool:
        """Whether so few differ that items that changed since they were stored can explain it."""
        return bool(self.alike.sum() >= FEWEST_ALIKE * len(self.alike))


@dataclass(frozen=True)
class StoredItems:
    """Items beside the stored vectors of their ids.

    Attributes:
        items: N that are rows of a gallery.
        vectors: (N, d) stored with their ids, L2-normalised.
    """

    items: Items
    vectors: Matrix

    def agreement(self, model: LoadedModel, progress: Progress = Progress()) -> Agreement:
        """The stored vectors beside those that the model makes of the items.

        Raises:
            BadInput: the model does not encode such items.
        """
        embedded = encode_all(model, self.items, progress)[:, : self.vectors.shape[1]]
        cosines = np.full(len(self.vectors), np.nan, np.float32)
        if embedded.shape != self.vectors.shape:
            return Agreement(model.card.name, np.zeros_like(self.vectors), cosines)
        some = embedded.any(axis=1)
        embedded[some] = normalised(embedded[some])
        cosines[some] = (embedded[some] * self.vectors[some]).sum(axis=1)
        return Agreement(model.card.name, embedded, cosines)


def stored_items(rows: StoredRows, items: Items) -> StoredItems | None:
    """At least 32 items, if that many are rows, from all parts of the gallery; None when none is.

    Each file is read only until its share is found.
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
    """Confirm that stored vectors are those of the old model, before it encodes queries.

    Args:
        items: some of them may be rows of the gallery; if none is, nothing is compared, and a warning is added.

    Raises:
        BadInput: most are not: the vectors or the ids differ.
    """
    some = None if items is None else stored_items(gallery.own_part.rows, items)
    if some is None:
        warnings.append(
            f"it cannot be verified that {old.card.name} encoded gallery {gallery.name}: no item is one of its rows"
        )
        return
    agreement = some.agreement(old)
    if not agreement.mostly_alike:
        raise _another(gallery, agreement, "others")
    if few := int((~agreement.alike).sum()):
        warnings.append(
            f"in gallery {gallery.name}, {few} of {len(agreement.alike)} stored vectors differ from what "
            f"{old.card.name} makes of the items with their ids"
        )


def agreement_of_stored(
    objects: ObjectStore,
    gallery: Gallery,
    new: LoadedModel,
    stored: StoredItems,
    warnings: list[str],
    progress: Progress,
    *,
    old_input: str = "",
) -> Agreement | None:
    """Compare all stored vectors that are a baseline with those that the gallery's model makes of their items.

    Args:
        stored: rows that are said to be by the model of the gallery's space.
        old_input: column that the old model reads; empty for that of the items.

    Returns:
        None where the gallery's model is not in the store; or, with a warning, where the store has another one of its
        name, or where it cannot encode the items.

    Raises:
        BadInput: the stored vectors are the new model's, not the old one's; or the new model is the gallery's own, and
            did not make them.
        NotPermitted: the gallery's model runs code that the user did not name.
    """
    name = gallery.space.name
    if new.card.fingerprint == gallery.space.fingerprint:
        agreement = stored.agreement(new, progress)
        if not agreement.mostly_alike:
            raise _another(gallery, agreement, "others")
        return agreement
    if name not in model_names(objects):
        return None
    try:
        old = verified_model(objects, name)
        if old.card.fingerprint != gallery.space.fingerprint:
            warnings.append(f"the store's model {name} is not the one that encoded gallery {gallery.name}")
            return None
        read_by_old = replace(stored, items=stored.items.reading(old_input)) if old_input else stored
        agreement = read_by_old.agreement(old, progress)
    except NotPermitted:
        raise
    except BadInput as error:
        warnings.append(f"it cannot be verified that {name} encoded gallery {gallery.name}: {error}")
        return None
    if not agreement.mostly_alike and _mostly(stored.agreement(new).cosines >= THE_SAME):
        raise _another(gallery, agreement, f"those of {new.card.name}")
    return agreement


def models_of_gallery(objects: ObjectStore, gallery: Gallery) -> dict[str, str]:
    """Whether the models of a gallery, those that made its rows and the released one, encode as when they were saved.

    Returns:
        A sentence for each model by name.

    Raises:
        BadInput: one of them is not the model that was registered, appended or released, or no longer encodes as it
            did.
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
            findings[name] = f"not verified: {error}"
            continue
        if model.card.fingerprint != fingerprint:
            raise BadInput(f"model {name}", expected=fingerprint[:12], found=model.card.fingerprint[:12], hint=RESTORE)
        findings[name] = warnings[0] if warnings else "encodes its witness items as when it was saved"
    return findings


def _another(gallery: Gallery, agreement: Agreement, found: str) -> BadInput:
    cosines = agreement.cosines
    return BadInput(
        f"gallery {gallery.name}",
        expected=f"the vectors that {agreement.model} makes of the items with the same ids",
        found=f"{found} (median cosine {np.median(cosines):.3f} of {len(cosines)})",
        hint=Advice("register_with_space"),
    )


def _mostly(alike: NDArray[np.bool_]) -> bool:
    return bool(2 * alike.sum() > len(alike))
