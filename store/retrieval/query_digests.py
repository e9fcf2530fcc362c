"""Digests of queries: what was asked, and what was to be found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa

from skipfill.store.parquet.items import Items


def query_digests(items: Items, relevant: Iterable[str]) -> list[str]:
    """(Q,) digest of each query: its id, its input, the rest of its row, and what is relevant to it.

    Columns of the row decide slices and identities, and may hold the old model's vectors: with other values in them,
    the query is another one. Reads the files once more.

    Args:
        relevant: what is relevant to each, as `Relevance.contents` says it; at least Q.
    """
    digests = []
    contents, details = iter(relevant), chain.from_iterable(map(_details, items.details()))
    for block in items.blocks():
        for identifier, value in zip(block.ids.to_pylist(), block.inputs, strict=True):
            data = value.encode() if isinstance(value, str) else bytes(value)
            digest = hashlib.sha256()
            for part in (repr(identifier).encode(), data, next(contents).encode(), next(details)):
                digest.update(len(part).to_bytes(8, "big") + part)
            digests.append(digest.hexdigest()[:16])
    return digests


def _details(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The values of each row as bytes, whatever the order of the columns; a NULL is as if the column were not there."""
    names = sorted(batch.schema.names)
    columns = [list(_values(batch.column(name))) for name in names]
    for row in range(batch.num_rows):
        parts = ((name.encode(), column[row]) for name, column in zip(names, columns, strict=True))
        yield b"".join(
            len(part).to_bytes(8, "big") + part for name, value in parts if value is not None for part in (name, value)
        )


def _values(column: pa.Array) -> Iterator[bytes | None]:
    for value in column:
        if not value.is_valid:
            yield None
        elif pa.types.is_nested(column.type) and pa.types.is_floating(getattr(column.type, "value_type", pa.null())):
            yield value.values.to_numpy(zero_copy_only=False).tobytes()  # vectors: too many numbers for Python
        else:
            yield repr(value.as_py()).encode("utf-8", "surrogatepass")
