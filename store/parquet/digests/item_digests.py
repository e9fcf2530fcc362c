"""Digests of items by their content, so that an item is known again under another id."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skipfill.store.parquet.items import ItemBlock, Items
from skipfill.store.parquet.vectors import Matrix

Digests = NDArray[np.uint64]


def content_digests(items: Items) -> Digests:
    """(N,) a digest of 64 bits of each item's input, in order.

    Among ten million items and a million queries, an item and a query that differ share a digest with a probability
    below one in a million.

    Texts that differ only in white space or Unicode normal form are the same, and so are vectors that are equal as
    float16: a copy stored in half precision is known again.
    """
    return np.concatenate([np.zeros(0, np.uint64), *(block_digests(block) for block in items.blocks())])


def block_digests(block: ItemBlock) -> Digests:
    """The digests of a block of items, as `content_digests` has them."""
    if isinstance(block.inputs, list):
        return _digests(block.kind, _contents(block.kind, block.inputs))
    with np.errstate(over="ignore"):
        halves = block.inputs.astype(np.float16)
    # Beyond the range of float16, many different vectors would be equal.
    fits = np.isfinite(halves).all(axis=1) & (np.abs(halves).max(axis=1, initial=0) >= np.finfo(np.float16).tiny)
    found: Digests = np.where(fits, _digests("float16", _bytes_of(halves)), _of_float32(block.inputs))
    return found


def known_content(items: Items, digests: Digests) -> NDArray[np.bool_]:
    """(N,) bool, whether the content of each item is among digests of items.

    Args:
        digests: of this release, or of earlier ones, for which vectors were the same if equal as float32.
    """
    found = [np.zeros(0, bool)]
    for block in items.blocks():
        known = np.isin(block_digests(block), digests)
        if not isinstance(block.inputs, list):
            known |= np.isin(_of_float32(block.inputs), digests)
        found.append(known)
    return np.concatenate(found)


def _of_float32(vectors: Matrix) -> Digests:
    return _digests("vector", _bytes_of(vectors))


def _bytes_of(vectors: NDArray[np.floating]) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(vectors + vectors.dtype.type(0))]  # -0 becomes 0


def _contents(kind: str, inputs: list[Any]) -> list[bytes]:
    if kind == "text":
        return [" ".join(unicodedata.normalize("NFC", text).split()).encode("utf-8") for text in inputs]
    return inputs


def _digests(kind: str, contents: list[bytes]) -> Digests:
    joined = b"".join(blake2b(content, digest_size=8, person=kind.encode()).digest() for content in contents)
    return np.frombuffer(joined, "<u8").astype(np.uint64)
