"""Rules for a reindex as the truth. The model that says what is relevant must not be the one that is judged."""

from __future__ import annotations

import numpy as np
import torch

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.gate.admission.ruling import Finding, Ruling
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.query_lookup import QueryLookup
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.views import own_view
from skipfill.store.checks.policy import NEIGHBOURS
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.models.cards import lineage
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.vectors import Matrix, normalised

COMPARED = 500
"""Most queries whose angles to each other are compared."""
SAME_ANGLES = 0.01
"""Cosines of the same vectors, even in half precision, differ by less than this."""


def truth_of_another_model(context: CheckContext) -> Ruling:
    """Refuse a reindex by the checked model, or by one that it was made from or trained with.

    Raises:
        BadInput: neither a ceiling nor a column of vectors is named, or the ceiling shares an encoder or its training
            with the model.
    """
    if context.inputs.truth != "reindex" or context.inputs.truth_vector:
        return Ruling()
    name = context.model.card.name
    hint = Advice("independent_ceiling")
    if context.ceiling is None:
        where = Parameter("truth", "reindex")
        raise BadInput(where, expected=f"a model other than {name} to say what is relevant", found="none", hint=hint)
    if shared := _shared(context.model, context.ceiling):
        where = Parameter("ceiling", context.inputs.ceiling)
        raise BadInput(where, expected=f"a model that shares nothing with {name}", found=shared, hint=hint)
    return Ruling()


def truth_of_the_policy(context: CheckContext) -> Ruling:
    """Find that the truth is a reindex, though the gallery's policy does not name it: a model then judges a model."""
    if context.inputs.truth != "reindex" or context.policy.truth == "reindex":
        return Ruling()
    claim = "relevance by labels or judgements, or a policy of the gallery that allows a reindex as the truth"
    column = context.inputs.truth_vector
    judge = f"the vectors of column {column}" if column else context.inputs.ceiling
    found = f"the first rows of a reindex with {judge} count as relevant"
    return Ruling(findings=[Finding("truth of the policy", 1, claim, found)])


def agreement_is_no_truth(context: CheckContext) -> Ruling:
    """Find that neighbours of the stored vectors are the truth: they show what changes, not what improves."""
    if context.inputs.truth != NEIGHBOURS:
        return Ruling()
    claim = "rows that people or labels call relevant"
    found = (
        f"agreement: the first {context.inputs.depth} rows that each stored vector finds count as relevant, so the old "
        "model is always right; this measures how much changes, not what improves"
    )
    return Ruling(findings=[Finding("agreement is no truth", 1, claim, found)])


def truth_vectors_of_another_model(context: CheckContext, brought: Matrix, own: Matrix) -> Ruling:
    """Refuse brought vectors with the angles of the model's own vectors or of their views: it would judge itself.

    Args:
        brought, own: (Q, d) and (Q, D), of the queries.

    Raises:
        BadInput: all angles among some queries are the same.
    """
    angles = _angles(brought)
    in_gallerys_space = own_view(context.model, own, context.gallery.space.name)
    if len(own) > 1 and any(np.abs(_angles(mine) - angles).max() < SAME_ANGLES for mine in (own, in_gallerys_space)):
        column, name = context.inputs.truth_vector, context.model.card.name
        raise BadInput(Parameter("truth_vector", column), expected=f"vectors of another model than {name}", found="its")
    return Ruling()


def _angles(vectors: Matrix) -> Matrix:
    """(N, N) cosines among the first of some vectors."""
    some = normalised(vectors[:COMPARED])
    return some @ some.T


def documents_as_queries(context: CheckContext, items: Items, lookup: QueryLookup) -> Ruling:
    """Warn about queries that are rows, if the truth is a reindex: real queries may be quite unlike documents."""
    documents = int(lookup.present.sum())
    if context.inputs.truth != "reindex" or not documents:
        return Ruling()
    what = f"{documents} of {len(items)} queries are rows of the gallery"
    return Ruling(notes=[f"{what}: documents may behave differently from real queries"])


def _shared(model: LoadedModel, ceiling: LoadedModel) -> str:
    """The thing that both models share, in words; empty for nothing."""
    if lineage(model.card) & lineage(ceiling.card):
        return "one of the models that it was made from, or one that shares such a model with it"
    mine, others = _encoders(model.network), _encoders(ceiling.network)
    return "one with the same encoder" if any(_alike(one, other) for one in mine for other in others) else ""


def _encoders(network: Network) -> list[Encoder]:
    return [network.encoder, *([] if network.old is None else _encoders(network.old))]


def _alike(one: Encoder, other: Encoder) -> bool:
    if type(one) is not type(other) or one.described() != other.described():
        return False
    mine, others = one.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in mine.items())
