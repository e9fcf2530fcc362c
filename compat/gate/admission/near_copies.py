"""Queries that are nearly the same count as one piece of evidence, whatever groups the user named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from skipfill.store.parquet.vectors import Matrix

NEAREST = 1e-6
"""Two vectors with a smaller cosine distance are copies of each other."""
CELL = 1e-4
"""Vectors whose coordinates round to the same multiples of this are taken for one from the start."""
MOST_CANDIDATES = 4_000_000
"""Most pairs that are listed, each counted twice. Their number is first estimated from a sample of points."""
SAMPLE = 500
"""Points of that sample, about."""
PAIRS_AT_ONCE = 2_000_000
"""Most distances that are held at once where all pairs are compared."""
LOOKED_AT = 32  # dimensions of the projection in which candidates are looked for

Groups = NDArray[np.int64]
"""(Q,) queries with the same number count as one."""


def same_identity(identity: pa.Array | None, vectors: Matrix) -> Groups:
    """(Q,) groups of queries with one identity, a string. A NULL is a group of its own; None means NULL for all."""
    alone = np.arange(len(vectors))
    if identity is None:
        return alone
    codes = pc.fill_null(identity.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(codes >= 0, codes, len(vectors) + alone)


def near_copies(identity: pa.Array | None, vectors: Matrix) -> Groups:
    """(Q,) groups of queries whose vectors, L2-normalised, have a cosine distance below 1e-6.

    Candidates are pairs that are near in a projection onto a few orthogonal axes, where no distance grows. If they are
    too many, as with a model that maps everything to nearly one vector, all pairs are compared, some at a time.
    """
    _, first, group = np.unique(
        np.round(vectors / CELL).astype(np.int32), axis=0, return_index=True, return_inverse=True
    )
    group = np.asarray(group, np.int64).reshape(-1)
    of_groups = vectors[first].astype(np.float64)
    axes = np.random.default_rng(0).normal(size=(vectors.shape[1], min(LOOKED_AT, vectors.shape[1])))
    radius = np.sqrt(2 * NEAREST)
    places = of_groups @ np.linalg.qr(axes)[0]
    tree = cKDTree(places)
    some = places[:: -(-len(places) // SAMPLE)]
    if tree.query_ball_point(some, radius, return_length=True).mean() * len(places) > MOST_CANDIDATES:
        return _of_all_pairs(of_groups, radius)[group]
    pairs = tree.query_pairs(radius, output_type="ndarray")
    apart = np.zeros(len(pairs))
    for start in range(0, len(pairs), 65_536):
        part = slice(start, start + 65_536)
        difference = of_groups[pairs[part, 0]] - of_groups[pairs[part, 1]]
        apart[part] = np.einsum("nd,nd->n", difference, difference)
    return joined([np.arange(len(of_groups))], pairs[apart < radius**2])[group]


def _of_all_pairs(vectors: NDArray[np.float64], radius: float) -> Groups:
    """(N,) groups of vectors closer than the radius, directly or through others of the group. Memory is bounded."""
    count = len(vectors)
    squares = np.einsum("nd,nd->n", vectors, vectors)
    groups: Groups = np.arange(count)
    step = max(1, PAIRS_AT_ONCE // count)
    for start in range(0, count, step):
        part, rest = slice(start, start + step), slice(start, None)
        apart = squares[part, None] + squares[rest] - 2 * vectors[part] @ vectors[rest].T
        near = (apart < radius**2) & (groups[part, None] != groups[rest])
        if near.any():
            groups = joined([groups], start + np.argwhere(near))
            if not groups.any():
                break  # all are one group
    return groups


def joined(groupings: list[Groups], pairs: NDArray[np.int64] | None = None) -> Groups:
    """(Q,) the connected components of queries that share a group of any grouping, or one of (P, 2) pairs."""
    count = len(groupings[0])
    edges = [] if pairs is None else [pairs]
    for groups in groupings:
        _, first, of = np.unique(groups, return_index=True, return_inverse=True)
        edges.append(np.stack([np.arange(count), first[np.asarray(of).reshape(-1)]], axis=1))
    one, other = np.concatenate(edges).T
    graph = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(count, count))
    components: Groups = connected_components(graph, directed=False)[1].astype(np.int64)
    return components
