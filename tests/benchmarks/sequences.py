"""Two sequences of eight models on Fashion-MNIST as files: what each is trained on, and what they are asked.

- `items`: ten classes, more items of them from model to model;
- `classes`: one more class from model to model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MODELS = 8
REPLACED = 5
APART = 12_000  # items of the replacement's own
STORED, ASKED = 1_000, 2_000  # gallery items and queries, held out of every training
VERTICES = 10  # of the simplex: as many as classes, so that no dimension is noise


@dataclass(frozen=True)
class World:
    """Files of one sequence.

    Attributes:
        items: of each model.
        apart: what the replacement is trained on first.
        asked: which classes -> for the gallery of each model: the queries, the gallery's items.
    """

    items: list[Path]
    apart: Path
    asked: dict[str, list[tuple[Path, Path]]]


def growing_items(data: Path, folder: Path, seed: int) -> World:
    """300 items, 1.8 times as many from model to model."""
    stored, asked, apart, shared, _ = _fashion(data, seed)
    sizes = [round(300 * 1.8**step) for step in range(MODELS)]
    return World(
        items=[_written(folder / f"items-{size}.parquet", shared[:size]) for size in sizes],
        apart=_written(folder / "apart.parquet", apart),
        asked={"all": [_pair(folder, "all", asked, stored)] * MODELS},
    )


def growing_classes(data: Path, folder: Path, seed: int) -> World:
    """3 classes, then one more from model to model; asked for all, and for those that the gallery's model knows."""
    stored, asked, apart, shared, labels = _fashion(data, seed)
    known = [labels[: 3 + step] for step in range(MODELS)]
    items = [_of(shared[:8_000], some) for some in known]
    return World(
        items=[_written(folder / f"items-{step}.parquet", table) for step, table in enumerate(items)],
        apart=_written(folder / "apart.parquet", _of(apart, known[REPLACED - 1])),
        asked={
            "all": [_pair(folder, "all", asked, stored)] * MODELS,
            "known": [_pair(folder, f"{len(some)}", _of(asked, some), _of(stored, some)) for some in known],
        },
    )


SEQUENCES = {"items": growing_items, "classes": growing_classes}


def _fashion(data: Path, seed: int) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table, list[str]]:
    """Gallery, queries, items of the replacement, items of the others, and the labels, all in random order."""
    random = np.random.default_rng(seed)
    train, test = (pq.read_table(data / "fashion_mnist" / f"{part}.parquet") for part in ("train", "test"))
    train, test = train.take(random.permutation(len(train))), test.take(random.permutation(len(test)))
    labels = random.permutation(sorted(set(train["label"].to_pylist()))).tolist()
    return train[:STORED], test[:ASKED], train[STORED:][:APART], train[STORED + APART :], labels


def _of(table: pa.Table, labels: list[str]) -> pa.Table:
    return table.filter(pc.is_in(table["label"], value_set=pa.array(labels, table["label"].type)))


def _pair(folder: Path, name: str, queries: pa.Table, gallery: pa.Table) -> tuple[Path, Path]:
    return _written(folder / f"queries-{name}.parquet", queries), _written(folder / f"gallery-{name}.parquet", gallery)


def _written(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path
