"""Items are known again by their content: vectors in half precision, and by the digests of earlier releases."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.store.parquet.digests.item_digests import content_digests, known_content
from skipfill.store.parquet.items import Items, open_items

VECTORS = np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32)
OTHERS = np.random.default_rng(1).normal(size=(200, 24)).astype(np.float32)


def items_of(tmp_path: Path, vectors: np.ndarray) -> Items:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(pa.table({"id": np.arange(len(vectors)), "vector": column}), path)
    return open_items([path])


@pytest.mark.parametrize("size", [1.0, 1e-3, 300.0])
def test_a_copy_in_half_precision_is_known(tmp_path: Path, size: float) -> None:
    whole = items_of(tmp_path, VECTORS * np.float32(size))
    half = items_of(tmp_path, (VECTORS * np.float32(size)).astype(np.float16))
    others = items_of(tmp_path, OTHERS)
    assert known_content(half, content_digests(whole)).all()
    assert known_content(whole, content_digests(half)).all()
    assert not known_content(others, content_digests(whole)).any()


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_vectors_beyond_the_range_of_half_precision_differ(tmp_path: Path, size: float) -> None:
    """As float16 all of them would be zero or infinite."""
    digests = content_digests(items_of(tmp_path, VECTORS * np.float32(size)))
    assert len(np.unique(digests)) == len(VECTORS)
    assert not known_content(items_of(tmp_path, OTHERS * np.float32(size)), digests).any()


def test_digests_of_earlier_releases_are_known(tmp_path: Path) -> None:
    earlier = [blake2b(row.tobytes(), digest_size=8, person=b"vector").digest() for row in VECTORS[:50]]
    digests = np.frombuffer(b"".join(earlier), "<u8").astype(np.uint64)
    np.testing.assert_array_equal(known_content(items_of(tmp_path, VECTORS), digests), np.arange(200) < 50)
