"""Digests of items by their content, so that an item is known again under another id."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from skipfill.store.parquet.items import ItemBlock, Items

Digests = NDArray[np.uint64]


def content_digests(items: Items) -> Digests:
    """(N,) a digest of 64 bits of each item's input, in order. Among ten million items and a million queries, an item
    and a query that differ share a digest with a probability below one in a million.

    Texts that differ only in white space or Unicode normal form are the same, and so are vectors that are equal as
    float32.
    """
    return np.concatenate([np.zeros(0, np.uint64), *(block_digests(block) for block in items.blocks())])


def block_digests(block: ItemBlock) -> Digests:
    """The digests of a block of items, as `content_digests` has them."""
    kind = block.kind.encode()
    if not isinstance(block.inputs, list):
        vectors = np.ascontiguousarray(block.inputs + np.float32(0))  # -0 becomes 0
        contents = [row.tobytes() for row in vectors]
    elif block.kind == "text":
        contents = [" ".join(unicodedata.normalize("NFC", text).split()).encode("utf-8") for text in block.inputs]
    else:
        contents = block.inputs
    joined = b"".join(blake2b(content, digest_size=8, person=kind).digest() for content in contents)
    return np.frombuffer(joined, "<u8").astype(np.uint64)
