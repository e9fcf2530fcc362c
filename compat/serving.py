"""The released model of a gallery, as one value that encodes a service's queries for the stored vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.released import model_in_force
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.trusted_code import permit
from skipfill.store.checks.report import Threshold
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import Release, latest
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.spaces import Space, load_space
from skipfill.store.storage.location import find_root, open_store
from skipfill.store.storage.object_store import ObjectStore

Queries = Sequence[str] | Sequence[bytes] | Sequence[dict[str, Any]] | NDArray[np.floating]


@dataclass(frozen=True)
class Served:
    """The release of a gallery at one moment. It holds no file, connection or lock, and never changes.

    Attributes:
        gallery: its name.
        version: number of the gallery's version that was in force.
        release: model, fingerprint, view, check and thresholds.
        space: of the stored vectors, and of what `encode` returns.
        warnings: what could not be verified: a model without witness vectors.
    """

    gallery: str
    version: int
    release: Release
    space: Space
    warnings: tuple[str, ...]
    _loaded: LoadedModel
    _objects: ObjectStore

    def __repr__(self) -> str:
        return f"<Served: {self.model} for gallery {self.gallery}, version {self.version}>"

    @property
    def model(self) -> str:
        """Name of the released model."""
        return self.release.model

    @property
    def thresholds(self) -> list[Threshold]:
        """Thresholds for the scores of these queries, as the release's check transferred them; empty without any."""
        return self.release.thresholds

    def encode(self, queries: Queries, old_vectors: NDArray[np.floating] | None = None) -> Matrix:
        """Queries -> (N, d) float32 vectors in the gallery's space, L2-normalised; compare them by `space.metric`.

        Args:
            queries: N of what the model encodes: texts, images as encoded bytes (PNG, JPEG, ...), alone or as
                `{"bytes": ...}`, or an (N, F) matrix of features.
            old_vectors: (N, d) the old encoder's vectors of the same queries, where the model blends them in and holds
                no old encoder; others ignore them.

        Raises:
            BadInput: queries of another kind, of another dimension, or an image that cannot be decoded; or no old
                vectors where the model needs them.
            SkipfillError: an embedding is not finite or has no direction.
        """
        if not len(queries):
            return np.empty((0, self.space.dim), np.float32)
        block = replace(_block(queries, self.model), old_vectors=_old_vectors(old_vectors, len(queries)))
        takes = self._loaded.network.encoder.takes
        if block.kind != takes:
            raise BadInput("queries", expected=f"{takes}s, which model {self.model} encodes", found=f"{block.kind}s")
        return view_of_block(self._loaded, block, self.space.name)

    def changed(self) -> bool:
        """Whether the gallery's release is another one now; then call `released` again. Reads one small file.

        Raises:
            Stale: the gallery was dropped.
        """
        return latest(self._objects, self.gallery, self.version).release != self.release


def released(store: ObjectStore | Path | str, gallery: str, *, code: Sequence[str] = ()) -> Served:
    """Load the model that queries of a gallery use now, verified. The gallery's own files are not needed.

    Args:
        store: folder of the store, such as `.skipfill`, or its URL; or an opened one.
        code: calls of encoders that are code of your own, `module:factory` or `module:factory(depth=3)`: a bundle
            never decides what runs.

    Raises:
        BadInput: no such store or gallery; no model is released; its bundle is gone, damaged, or another one than was
            released; or it encodes its witness items in another way than when it was saved.

    Example:
        >>> from skipfill.compat.serving import released
        >>> served = released(".skipfill", "products")  # doctest: +SKIP
        >>> vectors = served.encode(["red shoes", "blue hat"])  # doctest: +SKIP
        >>> if served.changed():  # now and then  # doctest: +SKIP
        ...     served = released(".skipfill", "products")
    """
    for call in code:
        permit(call)
    objects = store if isinstance(store, ObjectStore) else open_store(find_root(str(store)))
    version = latest(objects, gallery)
    space, warnings = load_space(objects, version.space), list[str]()
    model = model_in_force(objects, gallery, version, space, warnings)
    assert version.release is not None
    return Served(gallery, version.number, version.release, space, tuple(warnings), model, objects)


def _old_vectors(vectors: NDArray[np.floating] | None, count: int) -> Matrix | None:
    if vectors is None:
        return None
    found = np.asarray(vectors)
    if found.ndim != 2 or len(found) != count or not np.isfinite(found).all() or not found.any(axis=1).all():
        raise BadInput(
            "old_vectors",
            expected=f"a matrix of {count} finite vectors, one a query, each with a direction",
            found=f"{found.dtype} of shape {found.shape}",
        )
    return found.astype(np.float32, copy=False)


def _block(queries: Queries, model: str) -> ItemBlock:
    """The queries as a block of items; rows are counted from 0."""
    rows, where = np.arange(len(queries)), Path("queries")
    if isinstance(queries, np.ndarray):
        if queries.ndim != 2 or queries.dtype.kind != "f" or not np.isfinite(queries).all():
            raise BadInput(
                "queries",
                expected="an (N, F) matrix of finite floats",
                found=f"{queries.dtype} of shape {queries.shape}",
            )
        return ItemBlock(pa.array(rows), queries.astype(np.float32, copy=False), rows, where)
    kinds = {type(one) for one in queries}
    images = [one["bytes"] for one in queries if isinstance(one, dict) and isinstance(one.get("bytes"), bytes)]
    if images and len(images) == len(queries):  # structs, as of images in Parquet files
        return ItemBlock(pa.array(rows), images, rows, where)
    if isinstance(queries, str | bytes) or kinds not in ({str}, {bytes}):
        raise BadInput(
            "queries",
            expected=f"a list of texts or of images as bytes, or a matrix, as model {model} encodes",
            found=f"{type(queries).__name__} of {', '.join(sorted(kind.__name__ for kind in kinds))}",
        )
    return ItemBlock(pa.array(rows), list(queries), rows, where)
