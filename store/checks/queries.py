"""The queries of a check by digest, so that two checks can be compared without reading what they asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skipfill.store.strict_json import json_digest

LEAST = 32
"""Of so many queries a check keeps the digests: a set that has half of another's seems to have all once in 2 ** 32."""


@dataclass(frozen=True)
class Queries:
    """Digests of the queries of a check, so that two checks can be compared.

    Attributes:
        count: how many queries.
        digest: of the ids and inputs of all, and of what is relevant to each. Empty in old files.
        least: the digests of some queries, the first in their order, with spaces between them: see `holds`.
        basis: the inputs that a comparison rests on beside the queries: whose identities count once, and where the
            old vectors come from. Other ones make other evidence.
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

    def holds(self, other: Queries) -> bool:
        """Whether these seem to be the other ones and perhaps more. A no is sure.

        The first digests of a larger set have those of each part of it that come before the last of them. Of a set of
        some hundred times as many queries there is nothing to compare, and the answer is yes: it is the better test.
        """
        if not (self.digest and other.digest) or self.count < other.count or self.basis != other.basis:
            return False
        least = self.least.split()
        if not least:
            return False
        return self.digest == other.digest or {one for one in other.least.split() if one <= least[-1]} <= set(least)
