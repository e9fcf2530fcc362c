"""A search of a gallery with the released model, re-ranked if the release says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.released import released_model
from skipfill.compat.inference.search import SearchResult, searched
from skipfill.compat.inference.views import viewed
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.progress import Progress
from skipfill.compat.reranking.new_vectors import NewVectorSource
from skipfill.compat.reranking.two_stages import TwoStages
from skipfill.store.checks.reranking import CandidatesBy, Reranking
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.models.cards import serves
from skipfill.store.parquet.items import ItemColumns, Items, open_items
from skipfill.store.parquet.packed.cache import PackedCache
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class AskedReranking:
    """The re-ranking that a search asks for.

    Attributes:
        k: number of candidates; None: as released.
        candidates: the query vector that finds them; None: as released, or else the old one if it is available.
        row_items: items of gallery rows.
        old_input: column of the queries that the old model encodes; empty: the newer model's.
        keep: whether new vectors are added to the overlay.
    """

    k: int | None = None
    candidates: CandidatesBy | None = None
    row_items: Sequence[Path] = ()
    old_input: str = ""
    keep: bool = False


def search_items(
    objects: ObjectStore,
    name: str,
    parts: Iterable[Items],
    columns: ItemColumns,
    k: int,
    progress: Progress,
    asked: AskedReranking = AskedReranking(),
    engine: Engine = LOCAL,
    cache: PackedCache | None = None,
) -> Iterator[SearchResult]:
    """Encode items with the released model of gallery `name` and search for the `k` nearest rows of each.

    After the candidates of a re-ranking, the old order stays. If queries use the gallery's own encoder, and it is not
    in the store, the search uses that encoder's vectors, which the items bring.

    Args:
        parts: the items, part after part; each is a search of its own.

    Raises:
        BadInput: no model is released, its bundle is gone, or another model has its name now; or the re-ranking is not
            possible: it is by the gallery's own model, or the old queries are not available.
    """
    gallery = open_gallery(objects, name, cache)
    brought = gallery.version.release is None and bool(columns.old_vector)
    model = None if brought else released_model(objects, gallery)
    for queries in parts:
        if model is None:
            yield searched(gallery, "", queries.ids, _brought(gallery, queries), k, progress, engine)
        else:
            yield _answers(objects, gallery, model, queries, columns, k, progress, asked, engine)


def _answers(
    objects: ObjectStore,
    gallery: Gallery,
    model: LoadedModel,
    queries: Items,
    columns: ItemColumns,
    k: int,
    progress: Progress,
    asked: AskedReranking,
    engine: Engine,
) -> SearchResult:
    way = _way(objects, gallery, columns, asked)
    if way is None:
        vectors = encode_all(model, queries, progress, onto=gallery.space.name, engine=engine)
        return searched(gallery, model.card.name, queries.ids, vectors, k, progress, engine)
    _refuse_own(gallery, model)
    embedded = encode_all(model, queries, progress, engine=engine)
    # Bit for bit the vectors that a search of a gallery in the model's own space uses.
    own = viewed(model, embedded, model.card.name) if model.card.name in model.card.views else embedded
    if way.candidates == "view":
        finding = viewed(model, embedded, gallery.space.name, _blended_in(model, queries, progress))
    else:
        finding = _old_queries(objects, gallery, queries, asked.old_input, progress)
    rows = open_items(asked.row_items, replace(columns, old_vector="")) if asked.row_items else None
    source = NewVectorSource(objects, gallery.name, model, rows, asked.keep, progress)
    most = max(k, way.k)
    nobody = pa.nulls(len(queries), queries.ids.type)
    stages = TwoStages.of(gallery, finding, own, most, source, nobody, reranked=way.k, engine=engine)
    order = stages.order(way.k, most)
    hits, by_newer = order.hits(k)
    makers = pa.array([gallery.space.name, model.card.name]).take(pa.array(by_newer.reshape(-1).astype(np.int8)))
    return SearchResult(model.card.name, queries.ids, hits, way, makers, int(stages.new.encoded.sum()))


def _way(objects: ObjectStore, gallery: Gallery, columns: ItemColumns, asked: AskedReranking) -> Reranking | None:
    """The re-ranking that is asked for or released; None for none.

    Raises:
        BadInput: options of re-ranking are given, but nothing is re-ranked.
    """
    release = gallery.version.release
    released = release.rerank if release else None
    if asked.k is None and released is None:
        for name, given in (
            ("gallery_items", asked.row_items),
            ("candidates", asked.candidates),
            ("keep", asked.keep),
            ("old_input", asked.old_input),
        ):
            if given:
                raise BadInput(Parameter(name), expected="re-ranking too", found="none", hint=Advice("ask_rerank"))
        return None
    old_serves = bool(columns.old_vector) or serves(objects, gallery.space)
    by = asked.candidates or (released.candidates if released else "old" if old_serves else "view")
    k = asked.k if asked.k is not None else released.k if released else 1
    return Reranking(k, by)


def _refuse_own(gallery: Gallery, model: LoadedModel) -> None:
    if model.card.fingerprint == gallery.space.fingerprint:
        raise BadInput(
            Parameter("rerank"),
            expected=f"a newer model than {gallery.space.name}, which filled gallery {gallery.name}",
            found=f"that its queries use {model.card.name} itself",
            hint=Advice("check_gallery", gallery=gallery.name),
        )


def _old_queries(objects: ObjectStore, gallery: Gallery, queries: Items, old_input: str, progress: Progress) -> Matrix:
    """(Q, d) the queries by the model that filled the gallery: from their column, or encoded now."""
    if queries.old_column:
        return _brought(gallery, queries)
    space = gallery.space
    if not serves(objects, space):
        raise BadInput(
            Parameter("candidates", "old"),
            expected=f"model {space.name} in the store, or a column of its query vectors",
            found="neither",
            hint=Advice("candidates_by_view"),
        )
    old = verified_model(objects, space.name, [])
    return encode_all(old, queries.reading(old_input) if old_input else queries, progress, onto=space.name)


def _brought(gallery: Gallery, queries: Items) -> Matrix:
    """(Q, d) the old model's vectors, from their column."""
    vectors = np.concatenate([block.old_vectors for block in queries.blocks() if block.old_vectors is not None])
    if vectors.shape[1] != gallery.space.dim:
        raise BadInput(
            Parameter("old_vector", queries.old_column),
            expected=f"vectors of dimension {gallery.space.dim}, as the gallery's",
            found=f"{vectors.shape[1]}",
        )
    return vectors


def _blended_in(model: LoadedModel, queries: Items, progress: Progress) -> Matrix | None:
    """(Q, d) old vectors for a blend: by the old encoder in it, or from a column; None for other models."""
    if model.network.blend is None:
        return None
    if model.old_model is not None:
        return encode_all(model.old_model, queries, progress)
    brought = [block.old_vectors for block in queries.blocks() if block.old_vectors is not None]
    return np.concatenate(brought) if brought else None
