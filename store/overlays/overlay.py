"""An overlay opened for looking up: vectors by a newer model, by id and content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.store.errors import BadInput
from skipfill.store.galleries.log import RESTORE
from skipfill.store.overlays.files import Gone, read_part
from skipfill.store.overlays.log import OverlayVersion, newest_entry
from skipfill.store.overlays.part import Part
from skipfill.store.parquet.digests.hashes import hashed
from skipfill.store.parquet.ids import id_type, plain
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Overlay:
    """A fixed version of an overlay: it never changes.

    Attributes:
        version: number of the entry of its log; 0 where there is none.
        dim: D.
    """

    version: int
    dim: int
    _parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of its vectors; an id may have several, of different content."""
        return sum(map(len, self._parts.values()))

    def places(self, ids: pa.Array, digests: NDArray[np.uint64] | None = None) -> NDArray[np.int64]:
        """(N,) place of the vector of each of N ids; -1 where there is none.

        Args:
            ids: int64 or string, as in the gallery. An id of another type has no vector.
            digests: (N,) of the items' content, by `item_digests`. Vectors of other content do not count. Without
                digests, the newest vector of the id is taken.
        """
        kind = id_type(ids.type, "ids")
        asked = plain(ids, kind, "ids")
        hashes = hashed(asked)
        places = np.full(len(asked), -1, np.int64)
        for start, part in reversed(self._placed()):
            unknown = np.flatnonzero(places < 0)
            if not len(unknown):
                break
            if part.ids.type != kind:
                continue
            of = None if digests is None else digests[unknown]
            there = part.places(asked.take(pa.array(unknown)), hashes[unknown], of)
            places[unknown] = np.where(there < 0, -1, start + there)
        return places

    def vectors(self, places: NDArray[np.int64]) -> Matrix:
        """(N, D) float32 vectors at N places, each of which `places` gave and none of which is -1."""
        places = np.asarray(places, np.int64)
        if len(places) and not 0 <= places.min() <= places.max() < self.rows:
            raise IndexError(f"places of 0 to {self.rows - 1} expected, found {places.min()} to {places.max()}")
        vectors = np.empty((len(places), self.dim), np.float32)
        for start, part in self._placed():
            here = np.flatnonzero((places >= start) & (places < start + len(part)))
            vectors[here] = part.vectors[places[here] - start]
        return vectors

    def _placed(self) -> list[tuple[int, Part]]:
        """The parts, the oldest first, each with the place of its first row."""
        parts = list(self._parts.values())
        return list(zip(accumulate(map(len, parts), initial=0), parts, strict=False))


def open_overlay(
    objects: ObjectStore, gallery: str, fingerprint: str, dim: int, before: Overlay | None = None
) -> Overlay:
    """Open the newest version of the overlay of a gallery by the model with a fingerprint; empty where there is none.

    Args:
        dim: of the model's vectors.
        before: an earlier version of it, whose parts need not be read again.

    Raises:
        BadInput: it is damaged.
    """
    return opened_entry(objects, gallery, fingerprint, dim, before)[0]


def opened_entry(
    objects: ObjectStore, gallery: str, fingerprint: str, dim: int, before: Overlay | None = None
) -> tuple[Overlay, OverlayVersion | None]:
    """The newest version of an overlay, and its entry in the log: see `open_overlay`."""
    overlay = before or Overlay(0, dim)
    number = overlay.version
    while True:
        entry = newest_entry(objects, gallery, fingerprint, number)
        if entry is None:
            return Overlay(0, dim), None
        if entry.files and entry.dim != dim:
            raise BadInput(
                f"overlay of gallery {gallery} by model {entry.model}",
                expected=f"vectors of dimension {dim}",
                found=f"dimension {entry.dim}",
                hint=RESTORE,
            )
        try:
            return _opened(objects, gallery, entry, dim, overlay), entry
        except Gone:
            later = newest_entry(objects, gallery, fingerprint, entry.number)
            if later is not None and later.number == entry.number:
                raise
            number = entry.number


def _opened(objects: ObjectStore, gallery: str, entry: OverlayVersion, dim: int, before: Overlay) -> Overlay:
    missing = {file.digest: file for file in entry.files if file.digest not in before._parts}
    read = objects.read_all(
        lambda digest: read_part(objects, gallery, entry.fingerprint, missing[digest]), list(missing)
    )
    parts = {**before._parts, **dict(zip(missing, read, strict=True))}
    return replace(
        before, version=entry.number, dim=dim, _parts={file.digest: parts[file.digest] for file in entry.files}
    )
