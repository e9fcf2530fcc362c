"""Reads every row of a gallery and refuses what cannot be searched: NaN, zero vectors, duplicate ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.errors import Advice, BadInput, Stale
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.galleries.row_marks import RowMarks
from skipfill.store.parquet import ids
from skipfill.store.parquet.digests.content import DigestedFiles
from skipfill.store.parquet.digests.fingerprint import FileFingerprint, fingerprint
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.parquet.stored_rows import Block, StoredRows
from skipfill.store.storage.address import Address
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.unfinished import scratch_folder

Progress = Callable[[int], None]
"""Called with the number of rows read since the last call."""
ROUNDED = 0.01
"""Largest difference of a length from 1 that is accepted. Rounding to float16 makes a smaller one."""


@dataclass(frozen=True)
class BoundGallery:
    """A gallery that raises an error when a row is not as it was registered.

    Attributes:
        gallery: its rows are compared with what was registered in the first complete pass over each file.
    """

    gallery: Gallery
    _digested: DigestedFiles

    @classmethod
    def of(cls, gallery: Gallery) -> BoundGallery:
        """Bind an opened gallery to the content of its files."""

        def refused(path: Address) -> Stale:
            if gallery.packed is not None and gallery.packed.discard(path):
                return Stale(
                    f"{path}: expected the ids, vectors and labels that gallery {gallery.name} was registered with, "
                    "found others in its local copy, which is removed now",
                    Advice("copy_again"),
                )
            return Stale(
                f"{path}: expected the ids, vectors and labels that gallery {gallery.name} was registered with, found "
                "others",
                Advice("refresh_gallery", gallery=gallery.name),
            )

        registered = {
            path: file.content for path, file in zip(gallery.rows.files, gallery.files, strict=True) if file.content
        }
        digested = DigestedFiles(gallery.rows, registered, refused)
        return cls(replace(gallery, rows=digested.rows), digested)

    def confirm(self, engine: Engine = LOCAL) -> None:
        """Make sure that everything read is what was registered, and that no file has changed since it was read.

        Args:
            engine: reads what this process did not read.

        Raises:
            Stale: a row is not as registered, or a file has changed.
        """
        self._digested.confirm(engine)
        self.gallery.pins.confirm()


def reread_gallery(objects: ObjectStore, name: str, progress: Progress = lambda rows: None) -> Gallery:
    """Open a gallery, read every row again, and compare the contents with those that were registered.

    Raises:
        BadInput: see `verified_blocks`.
        Stale: the content of a file is not what was registered, though its size and footer may be.
    """
    gallery = open_gallery(objects, name)
    bound = BoundGallery.of(gallery)
    for _ in verified_blocks(bound.gallery.rows, progress, of_length_one=gallery.of_length_one):
        pass
    bound.confirm()
    return gallery


@dataclass(frozen=True)
class ReadFiles:
    """Files that were verified whole.

    Attributes:
        fingerprints: of each file, its content included.
        marks: of the rows of each file.
    """

    fingerprints: dict[Address, FileFingerprint]
    marks: dict[Address, RowMarks]


def read_files_whole(
    rows: StoredRows,
    pins: PinnedFiles,
    base: Path | None,
    progress: Progress,
    *,
    of_length_one: Collection[Address] = (),
    beside: Sequence[Address] = (),
    like: Mapping[Address, str] = {},
) -> ReadFiles:
    """Verify, digest and fingerprint the files of `rows`, all in the state in which `pins` opened them.

    Args:
        base: folder that paths are relative to: see `fingerprint`.
        of_length_one, beside: see `verified_blocks`.
        like: file -> an earlier digest, whose kind is used again; files without an entry get the newest kind.

    Raises:
        BadInput: see `verified_blocks`.
        Stale: a file was replaced or changed meanwhile.
    """
    digested = DigestedFiles(rows, like)
    marks: dict[Address, list[RowMarks]] = {path: [] for path in rows.files}
    for path, block in verified_blocks(digested.rows, progress, of_length_one=of_length_one, beside=beside):
        marks[path].append(RowMarks.of(block))
    digested.confirm()
    fingerprints = {
        path: replace(fingerprint(pins(path), base), content=digested.contents[path]) for path in rows.files
    }
    pins.confirm()
    return ReadFiles(fingerprints, {path: RowMarks.joined(parts) for path, parts in marks.items()})


def verified_blocks(
    rows: StoredRows,
    progress: Progress,
    *,
    of_length_one: Collection[Address] = (),
    beside: Sequence[Address] = (),
) -> Iterator[tuple[Address, Block]]:
    """Read every row of `rows` and refuse what cannot be searched.

    Args:
        of_length_one: files whose vectors must have length 1.
        beside: files with the same columns, verified before, whose ids must not occur in these.

    Raises:
        BadInput: a NULL or duplicate id, or a vector of another dimension or length, with NaN, infinity or all zeros.
    """

    def ids_of(path: Address) -> Iterator[pa.RecordBatch]:
        return rows.open_file(path).iter_batches(ids.BLOCK_ROWS, [rows.columns.id])

    with scratch_folder() as scratch:
        ids.refuse_bad_ids_in_files([*beside, *rows.files], ids_of, rows.columns.id, rows.id_kind, scratch)
    for path in rows.files:
        for block in rows.file_blocks(path):
            if path in of_length_one:
                _refuse_other_lengths(path, block)
            progress(len(block.ids))
            yield path, block


def _refuse_other_lengths(path: Address, block: Block) -> None:
    """Raise `BadInput` unless all vectors have length 1, as models make them: inner products misrank others."""
    lengths = np.sqrt(np.einsum("nd,nd->n", block.vectors, block.vectors))
    wrong = np.flatnonzero(np.abs(lengths - 1) > ROUNDED)
    if len(wrong):
        raise BadInput(
            f"{path}, id {block.ids[int(wrong[0])].as_py()!r}",
            expected="a vector of length 1, as the space's model makes them",
            found=f"length {lengths[wrong[0]]:.4g}",
            hint=Advice("register_encoded"),
        )
