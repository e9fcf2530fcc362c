"""Groups of queries: the slices that are judged apart, and the clusters that are drawn together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.compat.gate.admission.near_copies import joined
from skipfill.compat.gate.admission.registry import OF_SLICES, OF_UNITS
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.inputs import SliceSpec
from skipfill.compat.gate.queries import QuerySet
from skipfill.store.checks.names import ALL, EVERY_CHECK, SEEN, UNSEEN
from skipfill.store.checks.policy import Policy
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name
from skipfill.store.galleries.policies import slice_brought_in
from skipfill.store.models.cards import is_map
from skipfill.store.parquet.sql.queries import QueryColumns
from skipfill.store.retrieval.relevance import Judgements

MOST_SLICES = 200
"""Most slices of one expression."""

Slices = dict[str, Mask]
"""name -> (Q,) bool."""


@dataclass(frozen=True)
class Grouping:
    """The queries of a check in groups.

    Attributes:
        slices: name -> (Q,) bool, whether the query belongs to it: those of every check first.
        by_value: names of those of the values of an expression.
        clusters: (Q,) queries of the same number stand or fall together.
        by_identity: whether an identity was named; otherwise only queries of nearly one vector share a cluster.
        kind: (Q,) `seen` or `unseen`.
        basis: the identity as it was given. The columns that decide it, and slices, are in the digests of the queries.
    """

    slices: Slices
    by_value: frozenset[str]
    clusters: NDArray[np.int64]
    by_identity: bool
    kind: NDArray[np.str_]
    basis: dict[str, str]

    @property
    def further(self) -> Slices:
        """The slices that not every check has."""
        return {name: chosen for name, chosen in self.slices.items() if name not in EVERY_CHECK}


def group_queries(context: CheckContext, queries: QuerySet) -> Grouping:
    """Put every query into its slices and its cluster, and warn about repeated queries.

    `seen` or `unseen` is left out if it has no query and the gallery has no such row either. Both are left out where
    they would show which rows were pairs of a map, not which classes the model knows.

    Raises:
        BadInput: an expression that is not SQL over the queries, one with too many values, or a policy that accepts an
            unknown slice.
    """
    of_trained = queries.lookup.of_trained
    kind = np.where(of_trained, SEEN, UNSEEN)
    computed = {"known": pa.array(kind), "relevant": pa.array(queries.lookup.relevant)}
    columns = QueryColumns(queries.items, context.gallery.rows, computed, context.inputs.columns.label)
    slices = {ALL: np.ones(len(of_trained), bool), SEEN: of_trained, UNSEEN: ~of_trained}
    spec, identities = context.inputs.slices, [context.inputs.identity] if context.inputs.identity else []
    try:
        predicates, expressions = columns.values(spec.predicates, [*spec.by, *identities])
    except BadInput as error:
        _name_policy(context, error)
        raise
    further = _further_slices(spec, predicates, expressions)
    context.record(rule([name for name, _ in further]) for rule in OF_SLICES.values())
    slices |= dict(further)
    _refuse_unknown(context.policy, slices)
    identity = expressions[-1] if identities else None
    clusters = joined([group(identity, queries.vectors) for group in OF_UNITS.values()])
    if identity is None and (repeated := len(clusters) - len(np.unique(clusters))):
        context.warnings.append(
            f"{repeated:,} {'query has' if repeated == 1 else 'queries have'} the same vector as another query, or "
            "nearly the same; such queries count as one"
        )
    has_rows = {SEEN: queries.lookup.has_trained, UNSEEN: queries.lookup.has_others}
    if _of_pairs(context, queries):
        context.warnings.extend(_only_pairs(context, of_trained, queries.lookup.has_others))
        slices = {name: chosen for name, chosen in slices.items() if name not in (SEEN, UNSEEN)}
    kept = {name: chosen for name, chosen in slices.items() if chosen.any() or has_rows.get(name, True)}
    basis = {"identity": context.inputs.identity} if identity is not None else {}
    by_value = frozenset(name for name, _ in further[len(spec.predicates) :])
    return Grouping(kept, by_value, clusters, identity is not None, kind, basis)


def _name_policy(context: CheckContext, error: BadInput) -> None:
    """If the slice of an error is the policy's, let the error say so, and how to remove it from the policy."""
    gallery = context.gallery
    for one in gallery.version.policy_in_force.slices:
        if error.where != f"slice {one!r}":
            continue
        brought = slice_brought_in(context.objects, gallery.name, gallery.version, one)
        if brought is not None:
            error.hint = Advice("policy_slice", gallery=gallery.name, version=brought.number, by=brought.by, slice=one)


def _of_pairs(context: CheckContext, queries: QuerySet) -> bool:
    """Whether `seen` would mean that a row relevant to the query was a pair of the map.

    A map is fitted to rows, not to classes, so these queries are not a kind of their own, unless labels say so.
    """
    card = context.model.card
    by_label = bool(context.gallery.rows.columns.label and card.trained_labels)
    return is_map(card) and isinstance(queries.relevance, Judgements) and not by_label


def _only_pairs(context: CheckContext, of_pairs: Mask, has_others: bool) -> list[str]:
    """A note where every query has a pair to find: rows that were not pairs may be found less well."""
    if not of_pairs.all() or not has_others:
        return []
    name = context.model.card.name
    missing = "rows that were not pairs are not measured separately"
    return [f"each query has a relevant row among the pairs of {name}; {missing}"]


def _further_slices(spec: SliceSpec, predicates: list[pa.Array], expressions: list[pa.Array]) -> list[tuple[str, Mask]]:
    """The slices that were asked for, by name, first those of predicates; a name may be there twice.

    Args:
        predicates, expressions: their values; expressions may have more than those of the slices.

    Raises:
        BadInput: an expression with too many values.
    """
    pairs = zip(spec.predicates, predicates, strict=True)
    slices = [(name, holds.to_numpy(zero_copy_only=False)) for name, holds in pairs]
    for name, values in zip(spec.by, expressions, strict=False):
        slices += _by_value(name, values, spec.least).items()
    return slices


def _by_value(expression: str, values: pa.Array, least: int) -> Slices:
    named = pc.fill_null(values, "NULL")
    counts = pc.value_counts(named)
    frequent = sorted(one["values"].as_py() for one in counts if one["counts"].as_py() >= least)
    if len(frequent) > MOST_SLICES:
        raise BadInput(
            Parameter("slice_by", expression),
            expected=f"at most {MOST_SLICES} values with {least} queries or more",
            found=f"{len(frequent)}",
            hint=Advice("slice_by_predicates"),
        )
    slices: Slices = {}
    for value in frequent:
        slices[f"{expression} = {value}"] = pc.equal(named, value).to_numpy(zero_copy_only=False)
    rest = ~pc.is_in(named, value_set=pa.array(frequent, pa.string())).to_numpy(zero_copy_only=False)
    if rest.any():
        slices[f"{expression}: rare values"] = rest
    return slices


def _refuse_unknown(policy: Policy, slices: Slices) -> None:
    for name in policy.accept_worse:
        if name not in slices or name == ALL:
            names = [one for one in slices if one != ALL]
            raise unknown_name("slice", name, names, where=Parameter("accept_worse"))
