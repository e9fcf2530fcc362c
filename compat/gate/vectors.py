"""Query vectors in the gallery's space: the new model's, viewed there, the old one's and the released one's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skipfill.compat.gate.admission.brought_vectors import brought_vectors
from skipfill.compat.gate.admission.registry import OF_STORED, OF_VECTORS
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.queries import QuerySet
from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.gallery_agreement import StoredItems, agreement_of_stored, refuse_another_gallery
from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.released import released_model
from skipfill.compat.inference.views import viewed
from skipfill.compat.inference.witness import refuse_changed
from skipfill.store.checks.names import NEW_OLD, OLD_OLD, RELEASED_OLD, encoded_by, given_in
from skipfill.store.checks.reranking import CandidatesBy
from skipfill.store.errors import Advice, BadInput, NotPermitted
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix, normalised


@dataclass(frozen=True)
class SecondStage:
    """The second stage of answers: a model that puts candidates in order.

    Attributes:
        own: (Q, D) its vectors of the queries, in its own space.
        candidates: the query that finds them: `old`, or the model's `view`.
        ks: the numbers of candidates, each a way of answering; the largest first.
    """

    model: LoadedModel
    own: Matrix
    candidates: CandidatesBy
    ks: tuple[int, ...]


@dataclass(frozen=True)
class QueryVectors:
    """Vectors of Q queries in the gallery's space.

    Attributes:
        by_pair: (Q, d) of old/old and new/old, and of released/old where the released model is a third one.
        baseline: where those of the old model come from, in words.
        reranked: pair -> how a model puts its candidates in order, where one does.
    """

    by_pair: dict[str, Matrix]
    baseline: str
    reranked: dict[str, SecondStage] = field(default_factory=dict)

    @property
    def ranking(self) -> dict[str, Matrix]:
        """The vectors by pair, without the pairs whose candidates old/old finds: these need no ranking of their own."""
        by_old = {pair for pair, stage in self.reranked.items() if stage.candidates == "old"}
        return {pair: vectors for pair, vectors in self.by_pair.items() if pair not in by_old}


def query_vectors(context: CheckContext, queries: QuerySet) -> QueryVectors:
    """The queries in the gallery's space: the new model's vectors viewed there, and the old and the released one's.

    The old model's vectors are those that the user brought; or the stored ones of the queries' ids where the gallery
    has them all (each query's own row is left out of its ranking); otherwise the old model encodes the queries.

    Raises:
        BadInput: the gallery lacks some of the ids, and the model that filled it is not in the store or no longer
            encodes as it did; or the gallery holds the vectors of another model.
    """
    old, baseline = _old_vectors(context, queries)
    space = context.gallery.space
    by_pair = {OLD_OLD: old, NEW_OLD: new_vectors(context, queries, old)}
    release = context.gallery.version.release
    reranked = {}
    if context.inputs.rerank:
        stage = SecondStage(context.model, queries.vectors, context.candidates, context.ks)
        reranked[NEW_OLD] = stage
    if release is not None and {release.way} != context.ways and release.way != space.fingerprint:
        released = released_model(context.objects, context.gallery, context.warnings)
        own = encode_all(released, queries.items, context.progress, engine=context.engine)
        by_pair[RELEASED_OLD] = viewed(released, own, space.name, _old_part(context, released, queries, old))
        if release.rerank is not None:
            way = release.rerank
            reranked[RELEASED_OLD] = SecondStage(released, own, way.candidates, (way.k,))
    context.record(rule(context, by_pair) for rule in OF_VECTORS.values())
    return QueryVectors(by_pair, baseline, reranked)


def new_vectors(context: CheckContext, queries: QuerySet, old: Matrix) -> Matrix:
    """(Q, d) the new model's vectors of the queries, viewed in the gallery's space.

    Args:
        old: (Q, d) the old model's, for a blend whose queries bring them.
    """
    blended_in = _old_part(context, context.model, queries, old)
    return viewed(context.model, queries.vectors, context.gallery.space.name, blended_in)


def _old_part(context: CheckContext, model: LoadedModel, queries: QuerySet, baseline: Matrix) -> Matrix:
    """(Q, d) the vectors that a blend mixes in: by the old encoder that it holds, or else those of the baseline."""
    old = model.old_model
    stage = f"encoding queries with the old encoder of {model.card.name}"
    return baseline if old is None else encode_all(old, queries.items, context.progress, stage, engine=context.engine)


def _old_vectors(context: CheckContext, queries: QuerySet) -> tuple[Matrix, str]:
    """(Q, d) the old model's vectors, and where they come from."""
    inputs, gallery = context.inputs, context.gallery
    if inputs.old_vector:
        brought = brought_vectors(queries.items, inputs.old_vector, gallery.space.dim)
        return brought, given_in(inputs.old_vector)
    if queries.lookup.by_old.all():
        return _stored_vectors(context, queries), "stored vectors of the queries' ids"
    items = queries.items.reading(inputs.old_input) if inputs.old_input else queries.items
    old_model = _old_model(context, queries, items)
    return encode_all(old_model, items, context.progress, engine=context.engine), encoded_by(old_model.card.name)


def _stored_vectors(context: CheckContext, queries: QuerySet) -> Matrix:
    """(Q, d) the stored vectors of the queries' ids; for the few that are not those of their items, the old model's."""
    stored = StoredItems(queries.items, normalised(queries.lookup.vectors))
    agreement = agreement_of_stored(
        context.objects,
        context.gallery,
        context.model,
        stored,
        context.warnings,
        context.progress,
        old_input=context.inputs.old_input,
    )
    if agreement is None:
        return queries.lookup.vectors
    context.record(rule(context, agreement) for rule in OF_STORED.values())
    taken = agreement.alike | (not agreement.nearly_all_alike)
    return np.where(taken[:, None], queries.lookup.vectors, agreement.embedded)


def _of_ids(missing: int, ids: int) -> str:
    """`none of the 3,070 query ids are`, or how many are not."""
    return f"none of the {ids:,} query ids are" if missing == ids else f"{missing:,} of the {ids:,} query ids are not"


def _old_model(context: CheckContext, queries: QuerySet, items: Items) -> LoadedModel:
    """The model that filled the gallery, compared with some stored vectors before it encodes queries."""
    gallery, by_old = context.gallery, queries.lookup.by_old
    try:
        old = load_model(context.objects, gallery.space.name)
    except NotPermitted:
        raise
    except BadInput as error:
        are_rows = context.inputs.queries_are_rows
        found = "none"
        if are_rows:
            missing = f"that {_of_ids(int((~by_old).sum()), len(by_old))} rows of {gallery.name}"
            by_later = " by that model" if len(gallery.rows_by) > 1 else ""
            found = f"{missing}{by_later}, so there are no old vectors to compare with"
        raise BadInput(
            queries.items.where,
            expected=f"old vectors of the queries, because {gallery.space.name} is not in this store",
            found=found,
            hint=Advice("bring_old_vectors"),
        ) from error
    if old.card.fingerprint != gallery.space.fingerprint:
        raise BadInput(
            f"model {old.card.name}",
            expected=f"the encoder of the gallery ({gallery.space.fingerprint[:12]})",
            found=f"another ({old.card.fingerprint[:12]})",
        )
    refuse_changed(context.objects, old, context.warnings)
    rows = items.restricted(by_old) if by_old.any() else None
    if rows is None and context.inputs.gallery_items:
        rows = context.open_items(context.inputs.gallery_items)
        rows = rows.reading(items.input_column) if context.inputs.old_input else rows
    refuse_another_gallery(gallery, old, rows, context.warnings)
    return old
