"""Digests of queries: what was asked, and what was to be found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from skipfill.store.parquet.items import Items


def query_digests(items: Items, relevant: Iterable[str]) -> list[str]:
    """(Q,) digest of each query: its id, its input, and what is relevant to it.

    Reads the inputs once more.

    Args:
        relevant: what is relevant to each, as `Relevance.contents` says it; at least Q.
    """
    digests = []
    contents = iter(relevant)
    for block in items.blocks():
        for identifier, value in zip(block.ids.to_pylist(), block.inputs, strict=True):
            data = value.encode() if isinstance(value, str) else bytes(value)
            digest = hashlib.sha256()
            for part in (repr(identifier).encode(), data, next(contents).encode()):
                digest.update(len(part).to_bytes(8, "big") + part)
            digests.append(digest.hexdigest()[:16])
    return digests
