"""The queries of a check by digest, so that two checks can be compared without reading what they asked."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import or_
from typing import Any

from skipfill.store.strict_json import json_digest

LEAST = 32
"""The number of queries whose digests a check keeps. A set with half of the queries of another one of like size seems
to hold them all with a probability of 2 ** -32."""


@dataclass(frozen=True)
class Queries:
    """Digests of the queries of a check, so that two checks can be compared.

    Attributes:
        count: how many queries.
        digest: of the ids and inputs of all, and of what is relevant to each. Empty in old files.
        least: the first digests of queries in sorted order, with spaces between them: see `QuerySets`.
        basis: the other inputs of a comparison: whose identities count once, and where the old vectors come from.
            Another basis makes other evidence.
    """

    count: int = 0
    digest: str = ""
    least: str = ""
    basis: str = ""

    @classmethod
    def of(cls, digests: Sequence[str], basis: str = "") -> Queries:
        """The queries with these digests, in any order."""
        ordered = sorted(digests)
        digest = json_digest([ordered, basis] if basis else ordered)[:16]
        return cls(len(ordered), digest, " ".join(ordered[:LEAST]), basis)


class QuerySets:
    """Several sets of queries, to ask whether one of them holds a given set. A no is certain.

    The kept digests of a set include those of any part of it, up to the last kept one. Against a set some hundred times
    larger there is nothing to compare, and the answer is yes: it is the better test.

    Thousands of sets are not compared in pairs: a set of sets is an integer whose bit i stands for the i-th one.
    """

    def __init__(self, sets: Sequence[Queries]) -> None:
        least = [queries.least.split() if queries.digest else [] for queries in sets]
        self._all = (1 << len(sets)) - 1
        self._of_basis: defaultdict[str, int] = defaultdict(int)
        self._with: defaultdict[str, int] = defaultdict(int)
        for place, (queries, digests) in enumerate(zip(sets, least, strict=True)):
            if digests:
                self._of_basis[queries.basis] |= 1 << place
            for digest in digests:
                self._with[digest] |= 1 << place
        self._fewer = _Below([(queries.count, place) for place, queries in enumerate(sets)])
        cut = [place for place, digests in enumerate(least) if 0 < len(digests) < sets[place].count]
        self._ended = _Below([(least[place][-1], place) for place in cut])

    def holds(self, part: Queries, first: int = 0) -> bool:
        """Whether one of the sets from number `first` on seems to have all queries of `part`, and perhaps more."""
        if not part.digest:
            return False
        holding = self._of_basis.get(part.basis, 0) & ~self._fewer.than(part.count) & (self._all >> first << first)
        for digest in part.least.split():
            holding &= self._with.get(digest, 0) | self._ended.than(digest)
        return holding != 0


class _Below:
    """Sets by a key: finds those whose key is below a value, as the bits of an integer."""

    def __init__(self, keys: list[tuple[Any, int]]) -> None:
        ordered = sorted(keys)
        self._keys = [key for key, _ in ordered]
        self._sets = list(accumulate((1 << place for _, place in ordered), or_, initial=0))

    def than(self, value: Any) -> int:
        return self._sets[bisect_left(self._keys, value)]
