"""The released model of a gallery, as one value that encodes a service's queries and re-ranks its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.inference.given import Given, given_block
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.released import model_in_force
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.reranking.fresh_vectors import FreshVectors
from skipfill.compat.reranking.service import CandidateReranker, Fetch, RerankedCandidates, RowItems
from skipfill.compat.trusted_code import permit
from skipfill.store.checks.report import Threshold
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import latest
from skipfill.store.models.cards import serves
from skipfill.store.models.release import Release
from skipfill.store.parquet.vectors import Matrix, normalised
from skipfill.store.spaces import Space, load_space
from skipfill.store.storage.location import find_root, open_store
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Served:
    """The release of a gallery at one moment, which never changes. Threads may share it.

    Where the release re-ranks, it also holds the vectors of rows that were encoded and are not in the overlay yet: end
    it by `close`, or use it in a `with` block.

    Attributes:
        gallery: its name.
        version: number of the gallery's version that was in force.
        release: model, fingerprint, view, check, thresholds, and re-ranking; None where queries use the encoder that
            filled the gallery, and it was never in the store.
        space: of the stored vectors, and of what `encode` returns.
        warnings: what could not be verified: a model without witness vectors.
        reranker: orders candidates; None where the release does not re-rank.
    """

    gallery: str
    version: int
    release: Release | None
    space: Space
    warnings: tuple[str, ...]
    _loaded: LoadedModel | None
    _objects: ObjectStore
    _finder: LoadedModel | None = None
    reranker: CandidateReranker | None = None

    def __repr__(self) -> str:
        return f"<Served: {self.model} for gallery {self.gallery}, version {self.version}>"

    @property
    def model(self) -> str:
        """Name of the released model; without a release, of the encoder that filled the gallery."""
        return self.space.name if self.release is None else self.release.model

    @property
    def thresholds(self) -> list[Threshold]:
        """Thresholds for the scores of these queries, as the release's check transferred them; empty without any."""
        return [] if self.release is None else self.release.thresholds

    def encode(self, queries: Given, old_vectors: NDArray[np.floating] | None = None) -> Matrix:
        """Queries -> (N, d) float32 vectors in the gallery's space, L2-normalised; compare them by `space.metric`.

        Where the release re-ranks what the old query finds, and where nothing is released, these are the old vectors
        that are given, or else those that the old model makes of the queries.

        Args:
            queries: N of what that model encodes: texts, images as encoded bytes (PNG, JPEG, ...), alone or as
                `{"bytes": ...}`, or an (N, F) matrix of features. If old vectors find the candidates: anything of
                length N.
            old_vectors: (N, d) the old encoder's vectors of the same queries, as above, or for a blend that holds no
                old encoder. Other releases ignore them.

        Raises:
            BadInput: queries of another kind, of another dimension, or an image that cannot be decoded; old vectors of
                another dimension, or none where they are needed.
            SkipfillError: an embedding is not finite or has no direction.
        """
        if not len(queries):
            return np.empty((0, self.space.dim), np.float32)
        rerank = self.release.rerank if self.release is not None else None
        if self._loaded is not None and (rerank is None or rerank.candidates == "view"):
            block = replace(
                given_block(queries, self._loaded, "queries"), old_vectors=_old_vectors(old_vectors, len(queries))
            )
            return view_of_block(self._loaded, block, self.space.name)
        brought = _old_vectors(old_vectors, len(queries), self.space.dim)
        if brought is not None:
            return normalised(brought)
        if self._finder is None:
            raise BadInput(
                f"gallery {self.gallery}",
                expected=f"old vectors of the queries, because model {self.space.name} is not in the store",
                found="none",
                hint="Give them: encode(queries, old_vectors).",
            )
        return self._finder.encode_block(given_block(queries, self._finder, "queries"))

    def rerank(
        self,
        query: str | bytes | NDArray[np.floating],
        candidate_ids: Sequence[Any],
        items: RowItems | None = None,
    ) -> RerankedCandidates:
        """The candidates of one query in the order that the released model gives them.

        Their vectors come from the overlay; where one is missing, its item is fetched and encoded. A candidate that
        still has none keeps its place, and so do those after the first K of the release. If the release does not
        re-rank, as after a rollback, all candidates keep their order.

        Args:
            query: what the released model encodes: a text, an image as bytes, or (F,) features.
            candidate_ids: (K,) ids of rows as your index found them, best first.
            items: (K,) the items of these rows, None for one that you do not have. A row whose item has changed is
                then encoded again; without items, its newest vector counts.

        Raises:
            BadInput: a query of another kind, ids that are none, or items that cannot be encoded.
        """
        if self.reranker is None or self._loaded is None or not len(candidate_ids):
            return RerankedCandidates.as_they_came(candidate_ids)
        given = query[None] if isinstance(query, np.ndarray) else [query]
        own = self._loaded.encode_block(given_block(given, self._loaded, "queries"))  # type: ignore[arg-type]
        return self.reranker.reranked(own, candidate_ids, items)

    @property
    def overlay_failure(self) -> str:
        """The reason why the last commit to the overlay failed; empty if it did not. It is repeated after a minute."""
        return self.reranker.fresh.failed if self.reranker else ""

    def close(self) -> None:
        """Commit the vectors that were encoded to the overlay.

        Raises:
            SkipfillError: the store cannot be written to.
        """
        if self.reranker is not None:
            self.reranker.fresh.commit()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def changed(self) -> bool:
        """Whether the gallery's release is another one now; then call `released` again. Reads one small file.

        Raises:
            Stale: the gallery was dropped.
        """
        return latest(self._objects, self.gallery, self.version).release != self.release


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
        fetch: for a release that re-ranks: gets ids of rows and returns their items, so that candidates without a
            vector can be encoded. Default: these keep their places.
        keep: commit what is encoded to the overlay, every 1,000 rows or minute and with `close`.

    Raises:
        BadInput: no such store or gallery; the bundle of the released model is gone, damaged, or another one than was
            released; or it encodes its witness items differently than when it was saved.

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
    return Served(gallery, version.number, release, space, tuple(warnings), model, objects, finder, reranker)


def _old_vectors(vectors: NDArray[np.floating] | None, count: int, dim: int = 0) -> Matrix | None:
    """(N, d) old vectors of N queries; None for none. `dim` is d; 0 for any."""
    if vectors is None:
        return None
    found = np.asarray(vectors)
    fits = found.ndim == 2 and len(found) == count and dim in (0, found.shape[1])
    if not fits or not np.isfinite(found).all() or not found.any(axis=1).all():
        of_dimension = f" of dimension {dim}" if dim else ""
        raise BadInput(
            "old_vectors",
            expected=f"a matrix of {count} finite vectors{of_dimension}, one a query, each with a direction",
            found=f"{found.dtype} of shape {found.shape}",
        )
    return found.astype(np.float32, copy=False)
