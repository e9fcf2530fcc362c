"""Packs omniglot.parquet: 600 characters of 30 alphabets, 28x28, 1 bit.

python pack.py omniglot/background.parquet omniglot.parquet
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = 600
SIDE = 28


def small_png(data: bytes) -> bytes:
    """A 105x105 drawing (ink black on white) as a 28x28 1-bit PNG with the strokes kept whole."""
    ink = 255 - np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    reduced = np.asarray(Image.fromarray(ink).resize((SIDE, SIDE), Image.Resampling.BOX))
    buffer = io.BytesIO()
    Image.fromarray(np.where(reduced > 50, 0, 255).astype(np.uint8)).convert("1", dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def pack(source: Path, target: Path) -> None:
    table = pq.read_table(source)
    # Whole alphabets, in the order of their names, until there are enough characters.
    labels = sorted(set(table.column("label").to_pylist()))[:CLASSES]
    rows = [row for row in table.to_pylist() if row["label"] in set(labels)]
    rows.sort(key=lambda row: row["id"])
    packed = pa.table(
        {
            "id": [row["id"] for row in rows],
            "image": pa.array(
                [{"bytes": small_png(row["image"]["bytes"]), "path": None} for row in rows],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            "label": [row["label"] for row in rows],
            "alphabet": [row["alphabet"] for row in rows],
        }
    )
    pq.write_table(packed, target, compression="zstd", compression_level=19)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
