"""Rows of an overlay whose vectors follow from id and content."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pyarrow as pa

from skipfill.store.overlays.add import Added, add_rows
from skipfill.store.overlays.overlay import Overlay
from skipfill.store.storage.object_store import ObjectStore

BY = "ab" * 32
DIM = 5


def vectors_of(keys: list[tuple[object, int]]) -> np.ndarray:
    """A vector of each id and content, which nothing else has."""
    seeds = [crc32(repr(key).encode()) + content for key, content in keys]
    return np.stack([np.random.default_rng(seed).standard_normal(DIM, np.float32) for seed in seeds])


def add(objects: ObjectStore, keys: list[tuple[object, int]], before: Overlay | None = None) -> Added:
    ids = pa.array([key for key, _ in keys])
    digests = np.array([content for _, content in keys], np.uint64)
    return add_rows(objects, "g", BY, ids, digests, vectors_of(keys), before=before)


def held(overlay: Overlay, key: object, content: int | None) -> list[float] | None:
    digests = None if content is None else np.array([content], np.uint64)
    places = overlay.places(pa.array([key]), digests)
    return None if places[0] < 0 else overlay.vectors(places)[0].tolist()
