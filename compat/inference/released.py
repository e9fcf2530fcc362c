"""The model that queries of a gallery use now, verified before it encodes."""

from __future__ import annotations

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.witness import refuse_changed
from skipfill.store.errors import Advice, BadInput, NotPermitted
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.galleries.log import Version
from skipfill.store.models.cards import bundle_of, has_model
from skipfill.store.models.release import Release
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore


def model_in_force(
    objects: ObjectStore, gallery: str, version: Version, space: Space, warnings: list[str] | None = None
) -> LoadedModel:
    """The model that `version` releases: of the release's fingerprint, and encoding as when it was saved.

    Args:
        warnings: gets a sentence when the latter cannot be verified.

    Raises:
        BadInput: no release, or its model is gone, is not the one that was released, or no longer encodes as it did.
    """
    release = version.release
    if release is None:
        raise BadInput(
            f"gallery {gallery}",
            expected="a model in this store that encodes queries",
            found=f"that they use {version.queries_use}, an encoder known only by its vectors",
            hint=Advice("search_with_vectors", encoder=version.queries_use),
        )
    try:
        model = load_model(objects, _bundle(objects, release))
    except NotPermitted:
        raise
    except BadInput as error:
        raise BadInput(
            f"gallery {gallery}",
            expected=f"the released model {release.model}",
            found=f"none that can be used ({error})",
            hint=Advice("restore_or_roll_back", model=release.model, gallery=gallery),
        ) from error
    if model.card.fingerprint != release.fingerprint:
        raise BadInput(
            f"gallery {gallery}",
            expected=f"model {release.model} with fingerprint {release.fingerprint[:12]}",
            found=model.card.fingerprint[:12],
            hint=f"Restore the released bundle in models/{release.model}/.",
        )
    if release.view.dim != space.dim or release.view != model.card.views.get(space.name):
        raise BadInput(
            f"gallery {gallery} version {version.number}",
            expected=f"a view of model {release.model} (dim {model.card.dim}) onto {space.dim} coordinates",
            found=str(release.view),
            hint=Advice("roll_back", gallery=gallery),
        )
    refuse_changed(objects, model, warnings)
    return model


def _bundle(objects: ObjectStore, release: Release) -> str:
    """The bundle of a release: under its name, or under another one if there is none of that name."""
    if has_model(objects, release.model):
        return release.model
    return bundle_of(objects, release.fingerprint) or release.model


def released_model(objects: ObjectStore, gallery: Gallery, warnings: list[str] | None = None) -> LoadedModel:
    """The model that queries of this gallery use: see `model_in_force`."""
    return model_in_force(objects, gallery.name, gallery.version, gallery.space, warnings)
