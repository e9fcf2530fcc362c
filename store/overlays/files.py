"""The Parquet files of an overlay: id, digest of the item's content, vector. They are never rewritten."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.errors import BadInput, Stale, in_the_store
from skipfill.store.galleries.log import RESTORE
from skipfill.store.overlays import local_copies
from skipfill.store.overlays.log import OverlayFile
from skipfill.store.overlays.part import Part
from skipfill.store.parquet.digests.hashes import Words
from skipfill.store.parquet.ids import plain
from skipfill.store.parquet.vectors import Matrix, matrix
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import overlay_file_key
from skipfill.store.storage.object_store import ObjectStore

LARGEST = 2**28
"""Most bytes of vectors in one file, because it is written from memory."""
MOST_ROWS = 2**20


def most_rows(dim: int) -> int:
    """The number of rows that one file may have."""
    return max(1, min(MOST_ROWS, LARGEST // (4 * dim)))


class NewFile:
    """A file of vectors before it is in the store.

    Attributes:
        listed: the file as entries of the log list it.
        data: its bytes.
    """

    def __init__(self, ids: pa.Array, digests: Words, vectors: Matrix) -> None:
        columns = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        table = pa.table({"id": ids, "content": pa.array(digests), "vector": columns})
        sink = io.BytesIO()
        compression = {"id": "zstd", "content": "none", "vector.list.element": "none"}  # those two are almost random
        pq.write_table(
            table, sink, compression=compression, use_dictionary=False, write_statistics=False, row_group_size=2**16
        )
        self.data = sink.getvalue()
        self.listed = OverlayFile(hashlib.sha256(self.data).hexdigest(), len(ids), len(self.data))


def new_files(ids: pa.Array, digests: Words, vectors: Matrix) -> Iterator[NewFile]:
    """The files that hold N rows."""
    size = most_rows(vectors.shape[1])
    for start in range(0, len(ids), size):
        end = start + size
        yield NewFile(ids.slice(start, size), digests[start:end], vectors[start:end])


def read_part(objects: ObjectStore, gallery: str, fingerprint: str, file: OverlayFile) -> Part:
    """A file of an overlay, ready for look-ups; a large one is mapped from a local copy.

    Raises:
        BadInput: it is damaged.
        Gone: it is not there.
    """
    if file.bytes <= local_copies.LARGEST_IN_MEMORY:
        return Part.of(*read_rows(objects, gallery, fingerprint, file))
    return local_copies.mapped(f"{file.digest}.arrow", lambda: Part.of(*read_rows(objects, gallery, fingerprint, file)))


def read_rows(
    objects: ObjectStore, gallery: str, fingerprint: str, file: OverlayFile
) -> tuple[pa.Array, Words, Matrix]:
    """Ids, digests of the content, and vectors of a file, in its order.

    Raises:
        BadInput: it is damaged.
        Gone: it is not there.
    """
    where = objects.root / overlay_file_key(gallery, fingerprint, file.digest)
    data = read_data(objects, gallery, fingerprint, file)
    try:
        table = pq.read_table(io.BytesIO(data))
        digests = table.column("content").combine_chunks().to_numpy(zero_copy_only=False).astype(np.uint64, copy=False)
        kind = table.schema.field("id").type
        vectors = matrix(table.column("vector").combine_chunks(), f"{where}, column vector")
        return plain(table.column("id"), kind, f"{where}, column id"), digests, vectors
    except (pa.ArrowException, KeyError) as error:
        raise BadInput(where, expected="an overlay file", found=str(error), hint=RESTORE) from error


def read_data(objects: ObjectStore, gallery: str, fingerprint: str, file: OverlayFile) -> bytes:
    """The bytes of a file of an overlay, verified by their digest.

    Raises:
        BadInput: they are not the bytes that were added.
        Gone: the file is not there.
    """
    key = overlay_file_key(gallery, fingerprint, file.digest)
    try:
        data = quarantine.read(objects, key)
    except FileNotFoundError:
        raise Gone(f"{objects.root / key}: expected a file of the overlay, found none", RESTORE) from None
    with in_the_store():
        if hashlib.sha256(data).hexdigest() != file.digest:
            raise BadInput(
                objects.root / key, expected="the vectors that were added", found="other content", hint=RESTORE
            )
    return data


class Gone(Stale):
    """A file that an entry lists is not there: it was pruned since the entry was read, or is lost."""
