"""One file of an overlay, sorted by hashes of the ids, so that vectors can be looked up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skipfill.store.parquet.digests.hashes import Words, hashed
from skipfill.store.parquet.vectors import Matrix


@dataclass(frozen=True)
class Part:
    """N vectors with their ids, sorted by hash, and those of one id from the oldest to the newest.

    Attributes:
        hashes: (N,) of the ids, ascending.
        digests: (N,) of the content of the items.
        ids: (N,) int64 or string.
        vectors: (N, D) float32; they may lie in a file that is mapped into memory.
    """

    hashes: Words
    digests: Words
    ids: pa.Array
    vectors: Matrix

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def of(cls, ids: pa.Array, digests: Words, vectors: Matrix) -> Part:
        """Sort rows that came in the order of their age, the newest last."""
        hashes = hashed(ids)
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], digests[order], ids.take(pa.array(order)), vectors[order])

    @classmethod
    def mapped(cls, path: Path) -> Part:
        """Map into memory a file that `as_file` made: nothing is read before it is needed.

        Raises:
            OSError, pa.ArrowException: there is no such file, or it is incomplete.
        """
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        hashes, digests, ids, vectors = (column.chunk(0) for column in table.columns)
        matrix = vectors.flatten().to_numpy().reshape(-1, vectors.type.list_size)
        return cls(hashes.to_numpy(), digests.to_numpy(), ids, matrix)

    def as_file(self) -> bytes:
        """The rows as an Arrow file, for `mapped`."""
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors.reshape(-1)), self.vectors.shape[1])
        batch = pa.record_batch(
            [pa.array(self.hashes), pa.array(self.digests), self.ids, vectors],
            names=["hash", "digest", "id", "vector"],
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        data: bytes = sink.getvalue().to_pybytes()
        return data

    def places(self, ids: pa.Array, hashes: Words, digests: Words | None) -> NDArray[np.int64]:
        """(M,) place of the newest vector of each id, or of the id and content; -1 where there is none.

        Args:
            ids: (M,) of the same type as those of the part.
            hashes: (M,) of these ids.
            digests: (M,) of the content of these items; None for any content.
        """
        places = np.full(len(ids), -1, np.int64)
        first, last = (np.searchsorted(self.hashes, hashes, side=side) for side in ("left", "right"))
        asked = np.flatnonzero(last > first)
        while len(asked):  # seldom more than once: two ids of one hash, or several contents of one id
            last[asked] -= 1
            found = pc.equal(self.ids.take(pa.array(last[asked])), ids.take(pa.array(asked)))
            fits = found.to_numpy(zero_copy_only=False)
            if digests is not None:
                fits &= self.digests[last[asked]] == digests[asked]
            places[asked[fits]] = last[asked[fits]]
            asked = asked[~fits & (last[asked] > first[asked])]
        return places
