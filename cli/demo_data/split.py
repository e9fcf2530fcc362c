"""The demo's world: what the old model saw, what the new one knows, what nobody was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

OLD_CLASSES, KNOWN_CLASSES, DRAWINGS = 150, 400, 14
SAMPLE = 0.1


@dataclass(frozen=True)
class Files:
    """Attributes:
    old_items: training items of the old model: the first alphabets.
    items: training items of the new model: more alphabets, the old ones included.
    gallery_items: everything in the gallery: all alphabets, also those that neither model is trained on.
    sample: a tenth of the gallery's items, drawn at random; training looks at none of its labels.
    heldout: other drawings of all characters: the queries.
    """

    old_items: Path
    items: Path
    gallery_items: Path
    sample: Path
    heldout: Path


def write_demo_files(folder: Path, seed: int = 0) -> Files:
    """Split the bundled Omniglot drawings by alphabet (what is known) and by drawer (what is held out).

    Args:
        seed: decides which alphabets are known, and what is in the sample.
    """
    source = files("skipfill.cli.demo_data") / "omniglot.parquet"
    with source.open("rb") as handle:
        table = pq.read_table(handle)
    random = np.random.default_rng(seed)
    alphabets = np.array(table.column("alphabet").to_pylist())
    labels = np.array(table.column("label").to_pylist())
    order = random.permutation(np.unique(alphabets))
    sizes = np.array([len(np.unique(labels[alphabets == name])) for name in order])
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    old = np.isin(alphabets, order[before < OLD_CLASSES])
    known = np.isin(alphabets, order[before < KNOWN_CLASSES])
    first = _drawing_number(labels) < DRAWINGS
    sample = first & (random.random(len(labels)) < SAMPLE)
    chosen = {
        "old_items": first & old,
        "items": first & known,
        "gallery_items": first,
        "sample": sample,
        "heldout": ~first,
    }
    for name, mask in chosen.items():
        pq.write_table(table.filter(pa.array(mask)), folder / f"{name}.parquet")
    return Files(**{name: folder / f"{name}.parquet" for name in chosen})


def _drawing_number(labels: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each label, in the order of the rows."""
    ranks = pc.rank(pa.array(labels), tiebreaker="first").to_numpy().astype(np.int64) - 1
    starts = {label: ranks[labels == label].min() for label in np.unique(labels)}
    numbers: np.ndarray = ranks - np.array([starts[label] for label in labels])
    return numbers
