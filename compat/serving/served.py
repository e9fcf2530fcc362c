"""The released model of a gallery, as one value that encodes a service's queries and re-ranks its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.inference.given import Given, given_block
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.reranking.service import CandidateReranker, RerankedCandidates, RowItems
from skipfill.compat.serving.answers import Answers, Find, checked_old_vectors, queries_block, rows_found
from skipfill.compat.serving.noted import Noted
from skipfill.compat.serving.shadow import Shadows
from skipfill.store.checks.report import Threshold
from skipfill.store.checks.reranking import Reranking
from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import latest
from skipfill.store.models.release import Release
from skipfill.store.parquet.vectors import Matrix, normalised
from skipfill.store.spaces import Space
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Served:
    """The release of a gallery at one moment, which never changes. Threads may share it.

    It may hold what is not written yet: vectors of rows that were encoded for re-ranking, and noted queries. End it
    with `close`, or use it in a `with` block.

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
    _shadows: Shadows
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

    @property
    def _rerank(self) -> Reranking | None:
        return None if self.release is None else self.release.rerank

    def encode(self, queries: Given, old_vectors: NDArray[np.floating] | None = None) -> Matrix:
        """Queries -> (N, d) float32 vectors in the gallery's space, L2-normalised; compare them by `space.metric`.

        Where the release re-ranks what the old query finds, or where nothing is released, the result is the old vectors
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
        if self._loaded is not None and (self._rerank is None or self._rerank.candidates == "view"):
            return view_of_block(self._loaded, queries_block(queries, self._loaded, old_vectors), self.space.name)
        brought = checked_old_vectors(old_vectors, len(queries), self.space.dim)
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
            BadInput: a query of another kind, something else instead of ids, or items that cannot be encoded.
        """
        if self.reranker is None or self._loaded is None or not len(candidate_ids):
            return RerankedCandidates.as_they_came(candidate_ids)
        given = query[None] if isinstance(query, np.ndarray) else [query]
        own = self._loaded.encode_block(given_block(given, self._loaded, "queries"))  # type: ignore[arg-type]
        return self.reranker.reranked(own, candidate_ids, items)

    def compare(
        self,
        queries: Given,
        candidate: str,
        notes: Path | str,
        k: int = 10,
        *,
        query_ids: Sequence[str] | None = None,
        find: Find | None = None,
        old_vectors: NDArray[np.floating] | None = None,
    ) -> Answers:
        """Answer queries, and note the answers together with those that another model would have given.

        The notes are Parquet files, one row per query: its id and its content, so that a check can ask it again; ids,
        scores and milliseconds of both models; and the share of rows that both found. The candidate answers on another
        thread. Whatever goes wrong with it is noted too. See `shadow_failures` for queries that could not be noted.

        Args:
            queries, old_vectors: see `encode`.
            candidate: name of a model in the store, with a view onto the gallery's space.
            notes: the folder for the files; a new one is written after 1,000 queries, after a minute without any, and
                by `close`.
            query_ids: (N,) your own ids, which no other query has. Default: random ones.
            find: your own index. Default: exact search of the gallery's files, a pass over them for each call.

        Raises:
            BadInput: see `encode` and `rerank`; or other than N ids.
        """
        start = perf_counter()
        if query_ids is not None and len(query_ids) != len(queries):
            raise BadInput("query_ids", expected=f"{len(queries)}, one per query", found=str(len(query_ids)))
        if not len(queries):
            return Answers([], [], [])
        find = find or self._shadows.find
        depth = k if self._rerank is None else max(k, self._rerank.k)
        ids, scores = rows_found(find, self.encode(queries, old_vectors), depth)
        if self.reranker is not None:
            ordered = [self.rerank(query, found) for query, found in zip(queries, ids, strict=True)]
            ids, scores = [one.ids for one in ordered], [one.scores.tolist() for one in ordered]
        answers = Answers(
            [f"query-{uuid4().hex}" for _ in ids] if query_ids is None else list(query_ids),
            [found[:k] for found in ids],
            [found[:k] for found in scores],
        )
        milliseconds = (perf_counter() - start) * 1000 / len(queries)
        about = {"gallery_name": self.gallery, "gallery_version": self.version, "released": self.model}
        # Copies, because the caller may change theirs.
        noted = Noted(copy(queries), copy(old_vectors), answers, k, milliseconds, datetime.now(UTC), find, about)
        self._shadows.of(candidate, Path(notes)).note(noted)
        return answers

    @property
    def shadow_failures(self) -> list[str]:
        """A sentence for each candidate of `compare` some of whose queries are not noted; empty where all are."""
        return self._shadows.failures

    @property
    def overlay_failure(self) -> str:
        """The error of the last commit to the overlay; empty if there was none. It is tried again after a minute."""
        return self.reranker.fresh.failed if self.reranker else ""

    def close(self) -> None:
        """Write the noted queries, and commit the vectors that were encoded to the overlay.

        Raises:
            SkipfillError: the store cannot be written to.
        """
        try:
            self._shadows.close()
        finally:
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
