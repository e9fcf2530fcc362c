"""Marks of a gallery's rows: 64-bit hashes of id and content, to count the rows that came, went and changed.

They are kept beside a gallery's file lists, one object for each file, 16 bytes for each row, because a file that is
rewritten in its place no longer shows its old rows. No verdict depends on them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipfill.store.parquet.digests.content import BY_COLUMN
from skipfill.store.parquet.digests.fingerprint import FileFingerprint
from skipfill.store.parquet.digests.hashes import Words, hashed, mixed
from skipfill.store.parquet.stored_rows import Block
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import row_marks_key
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class RowMarks:
    """Marks of N rows.

    Attributes:
        ids, contents: (N,) hashes of the id, and of vector and label.
    """

    ids: Words
    contents: Words

    @classmethod
    def of(cls, block: Block) -> RowMarks:
        """Mark the rows of a block."""
        contents = _hashed_vectors(np.ascontiguousarray(block.vectors, "<f4").view("<u4"))
        if block.labels is not None:
            contents = mixed(contents ^ hashed(block.labels))
        return cls(hashed(block.ids), contents)

    @classmethod
    def joined(cls, parts: Sequence[RowMarks]) -> RowMarks:
        """The marks of several parts, sorted by id."""
        nothing = np.empty(0, np.uint64)
        ids = np.concatenate([nothing, *(part.ids for part in parts)])
        order = np.argsort(ids)
        return cls(ids[order], np.concatenate([nothing, *(part.contents for part in parts)])[order])

    def as_bytes(self) -> bytes:
        """The marks as they are stored: a NumPy file of (2, N) little-endian words."""
        file = io.BytesIO()
        np.save(file, np.stack([self.ids, self.contents]).astype("<u8"), allow_pickle=False)
        return file.getvalue()


@dataclass(frozen=True)
class RowChanges:
    """Numbers of rows that came, went and changed.

    Attributes:
        came, went: rows with ids that are new, or gone.
        changed: rows with another vector or label than before.
    """

    came: int
    went: int
    changed: int

    @classmethod
    def between(cls, before: RowMarks, after: RowMarks) -> RowChanges:
        """Compare the rows of two states of a gallery."""
        _, old, new = np.intersect1d(before.ids, after.ids, assume_unique=True, return_indices=True)
        changed = int((before.contents[old] != after.contents[new]).sum())
        return cls(len(after.ids) - len(new), len(before.ids) - len(old), changed)


def write_marks(objects: ObjectStore, gallery: str, marks: Iterable[tuple[FileFingerprint, RowMarks]]) -> None:
    """Keep the marks of the rows of files for the next refresh. The key is the digest of the file's content.

    Existing ones are written again, so that no prune takes them for leftovers of a killed run.
    """
    for file, rows in marks:
        objects.replace(file_marks_key(gallery, file), rows.as_bytes())


def read_marks(objects: ObjectStore, gallery: str, file: FileFingerprint) -> RowMarks | None:
    """Read the marks of the rows of a file; None where there are none, or they are damaged."""
    if not file.content:
        return None
    try:
        data = quarantine.read(objects, file_marks_key(gallery, file))
        words = np.load(io.BytesIO(data), allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    if words.dtype != np.dtype("<u8") or words.shape != (2, file.rows):
        return None
    return RowMarks(words[0], words[1])


def file_marks_key(gallery: str, file: FileFingerprint) -> str:
    """Key of the marks of a file whose content was read."""
    return row_marks_key(gallery, file.content.removeprefix(BY_COLUMN))


def _hashed_vectors(words: NDArray[np.uint32]) -> Words:
    """(N,) hashes of (N, D) words: the sum of the words, each times a factor that depends on its position."""
    factors = mixed(np.arange(words.shape[1], dtype=np.uint64)) | np.uint64(1)
    sums: Words = words.astype(np.uint64) @ factors
    return mixed(sums)
