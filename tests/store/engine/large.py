"""A gallery of several files and blocks, for work that is cut into tasks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.conftest import CLASSES, FEATURES, run_in, write_vectors

FILES, ROWS = 4, 9_000


def make_large(folder: Path, with_v2: Path) -> None:
    """A store with v1, its gallery `large`, and v2; `items-0.parquet` to `items-3.parquet` are the gallery's items."""
    shutil.copytree(with_v2, folder, dirs_exist_ok=True)
    centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    random = np.random.default_rng(1)
    for number in range(FILES):
        labels = random.integers(0, CLASSES, ROWS)
        vectors = centres[labels] + 1.1 * random.normal(size=(ROWS, FEATURES))
        ids = np.array([f"row-{number}-{row:05d}" for row in range(ROWS)])
        write_vectors(items(folder)[number], vectors, ids, np.array([f"class-{label:02d}" for label in labels]))
    encoded = [[f"items-{number}.parquet", "-o", f"rows-{number}.parquet"] for number in range(FILES)]
    run_in(
        folder,
        *(["encode", "v1", *words] for words in encoded),
        ["gallery", "add", "large", *(f"rows-{number}.parquet" for number in range(FILES)), "--space", "v1"],
    )


def items(folder: Path) -> list[Path]:
    """Of the rows of the gallery, in their order."""
    return [folder / f"items-{number}.parquet" for number in range(FILES)]


SPENT = ("created", "seconds", "id")
"""Of a report, what differs between two checks of the same."""
