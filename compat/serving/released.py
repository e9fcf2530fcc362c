"""Loads the model that queries of a gallery use now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skipfill.compat.inference.released import model_in_force
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.reranking.fresh_vectors import FreshVectors
from skipfill.compat.reranking.service import CandidateReranker, Fetch
from skipfill.compat.serving.served import Served
from skipfill.compat.serving.shadow import Shadows
from skipfill.compat.trusted_code import permit
from skipfill.store.galleries.log import latest
from skipfill.store.models.cards import serves
from skipfill.store.spaces import load_space
from skipfill.store.storage.location import find_root, open_store
from skipfill.store.storage.object_store import ObjectStore


def released(
    store: ObjectStore | Path | str,
    gallery: str,
    *,
    code: Sequence[str] = (),
    fetch: Fetch | None = None,
    keep: bool = True,
) -> Served:
    """Load the model that queries of a gallery use now, verified. The gallery's own files are not needed.

    If queries use the encoder that filled the gallery, as before the first swap and after its rollback, and it is not
    in the store, there is nothing to load: `encode` returns old vectors, and `rerank` changes no order.

    Args:
        store: folder of the store, such as `.skipfill`, or its URL; or an opened one.
        code: calls of encoders that are code of your own, `module:factory` or `module:factory(depth=3)`: a bundle
            never decides what runs.
        fetch: for a release that re-ranks: takes ids of rows and returns their items, so that candidates without a
            vector can be encoded. Default: these keep their places.
        keep: commit what is encoded to the overlay: by the call after 1,000 rows or after a minute, and by `close`.

    Raises:
        BadInput: no such store or gallery; the bundle of the released model is gone, damaged, or not the one that was
            released; or it encodes its witness items differently from when it was saved.

    Example:
        >>> from skipfill.compat.serving import released
        >>> served = released(".skipfill", "products")  # doctest: +SKIP
        >>> vectors = served.encode(["red shoes", "blue hat"])  # doctest: +SKIP
        >>> if served.changed():  # now and then  # doctest: +SKIP
        ...     served = released(".skipfill", "products")
        >>> result = served.rerank("red shoes", ["p7", "p1"])  # where the release re-ranks  # doctest: +SKIP
        >>> result.ids  # doctest: +SKIP
    """
    for call in code:
        permit(call)
    objects = store if isinstance(store, ObjectStore) else open_store(find_root(str(store)))
    version = latest(objects, gallery)
    space, warnings, release = load_space(objects, version.space), list[str](), version.release
    model = None if release is None else model_in_force(objects, gallery, version, space, warnings)
    rerank = None if release is None else release.rerank
    finder, reranker = None, None
    if model is not None and rerank is not None:
        card = model.card
        fresh = FreshVectors(objects, gallery, card.fingerprint, card.name, card.dim, keep=keep)
        reranker = CandidateReranker(model, rerank.k, fresh, fetch)
    if (release is None or (rerank is not None and rerank.candidates == "old")) and serves(objects, space):
        finder = verified_model(objects, space.name, warnings)
    shadows = Shadows(objects, gallery, space.name)
    return Served(gallery, version.number, release, space, tuple(warnings), model, objects, shadows, finder, reranker)
