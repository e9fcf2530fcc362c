"""The re-ranking that a swap releases."""

from __future__ import annotations

from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.reranking import CANDIDATES, CandidatesBy, Reranking, way_fingerprint
from skipfill.store.errors import BadInput, Parameter
from skipfill.store.galleries.log import Version, latest
from skipfill.store.models.cards import Card, serves
from skipfill.store.releases.evidence import evidence_of
from skipfill.store.spaces import load_space
from skipfill.store.storage.object_store import ObjectStore


def wanted_reranking(
    objects: ObjectStore, gallery: str, card: Card, k: int, candidates: CandidatesBy | None, index: CheckIndex
) -> Reranking:
    """The re-ranking of `k` candidates that a swap asks for.

    Args:
        candidates: the query vector that finds them. None: the kind that a check allows, else the kind that was
            checked, else `old` if the old model is in the store, else `view`.
    """
    if candidates is not None:
        return Reranking(k, candidates)
    now = latest(objects, gallery)
    ways = [Reranking(k, one) for one in CANDIDATES]
    found = [evidence_of(objects, gallery, now, way_fingerprint(card.fingerprint, way), index) for way in ways]
    for way, evidence in zip(ways, found, strict=True):
        if evidence.standing.allowing is not None:
            return way
    for way, evidence in zip(ways, found, strict=True):
        if evidence.deciding is not None:
            return way
    return Reranking(k, "old" if serves(objects, load_space(objects, now.space)) else "view")


def refuse_own_rows(objects: ObjectStore, now: Version, card: Card, rerank: Reranking | None) -> None:
    """Raise `BadInput` if the model that filled the gallery would re-rank: it would not change the order."""
    if rerank is not None and load_space(objects, now.space).fingerprint == card.fingerprint:
        raise BadInput(
            Parameter("rerank", str(rerank.k)),
            expected=f"a newer model than {now.space}, whose vectors the gallery holds",
            found=f"model {card.name} itself",
        )
