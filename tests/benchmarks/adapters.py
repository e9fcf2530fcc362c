"""Maps, blends and advice over 28 upgrades that nobody trains for, on four data sets.

    pip install -c .ci/constraints.txt '.[bench]'
    python tests/benchmarks/adapters.py DATA_FOLDER WORK_FOLDER OUTPUT.md [--only PART_OF_NAME] [--seeds 3]

DATA_FOLDER holds the data sets of `adapter_features.py`. WORK_FOLDER keeps their features and the results of each
upgrade and seed: what is there is not measured again. OUTPUT.md gets the tables. Not part of the test run.

The upgrades and the rules of the cases were written down before any result was looked at, and nothing is tuned on them.
After a first run over 18 upgrades three things changed: `auto` chooses by labels where there are any, `blend` chooses
among maps, and other queries name the best single map that `auto` is compared with. The first two were developed on
other encoders and seeds (`.decisions/0028-closed-form-maps.md` and 0029).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from adapter_features import CONTENT, Content, Vectors, features
from adapter_maps import fitted_maps
from numpy.typing import NDArray

Values = NDArray[np.float64]
WEIGHTS = tuple(tenth / 10 for tenth in range(1, 10))
MOST_QUERIES, MOST_ROWS = 1_000, 5_000


@dataclass(frozen=True)
class Upgrade:
    """A change of encoder on a gallery.

    Attributes:
        kind: what the new encoder is to the old one, as it was meant; the tables say what it is.
        data: data set.
        old, new: encoders; `rotated` and `unrelated` are made of the old one, and of nothing.
        pairs: number of pairs that the maps are fitted to; 0 for every row of the gallery.
        wrong: share of the pairs whose new vector is that of another row.
        rows: most gallery rows.
    """

    kind: str
    data: str
    old: str
    new: str
    pairs: int = 0
    wrong: float = 0.0
    rows: int = MOST_ROWS

    @property
    def name(self) -> str:
        """Short, and of one upgrade only."""
        parts = [f"{self.data} {self.old} to {self.new}"]
        parts += [f"{self.pairs} pairs"] if self.pairs else []
        parts += [f"{self.wrong:.0%} wrong"] if self.wrong else []
        parts += [f"{self.rows} rows"] if self.rows != MOST_ROWS else []
        return ", ".join(parts)


OMNIGLOT_OLD, OMNIGLOT_NEW, OMNIGLOT_TWIN = "conv-64-150-8-0", "conv-128-400-8-0", "conv-128-400-8-1"
FASHION_OLD, FASHION_NEW, FASHION_TWIN = "conv-32-5-2-0", "conv-128-10-4-0", "conv-128-10-4-1"
UPGRADES = (
    Upgrade("better", "scifact", "svd-64", "svd-256"),
    Upgrade("better", "scifact", "svd-256", "minilm-6"),
    Upgrade("better", "scifact", "svd-512", "minilm-6"),
    Upgrade("better", "scifact", "minilm-2", "minilm-6"),
    Upgrade("better", "scifact", "svd-256", "minilm-4"),
    Upgrade("worse", "scifact", "minilm-6", "svd-256"),
    Upgrade("worse", "scifact", "minilm-6", "minilm-2"),
    Upgrade("equal", "scifact", "svd-256", "rotated"),
    Upgrade("unrelated", "scifact", "svd-256", "unrelated"),
    Upgrade("tiny", "scifact", "svd-256", "minilm-6", pairs=400),
    Upgrade("wrong pairs", "scifact", "svd-256", "minilm-6", wrong=0.05),
    Upgrade("better", "banking77", "svd-64", "svd-256"),
    Upgrade("better", "banking77", "svd-256", "minilm-6", rows=10_003),
    Upgrade("better", "banking77", "minilm-2", "minilm-6"),
    Upgrade("worse", "banking77", "minilm-6", "svd-256"),
    Upgrade("equal", "banking77", "minilm-6", "rotated"),
    Upgrade("unrelated", "banking77", "minilm-6", "unrelated"),
    Upgrade("tiny", "banking77", "svd-256", "minilm-6", pairs=400),
    Upgrade("better", "fashion_mnist", "pca-32", FASHION_NEW),
    Upgrade("better", "fashion_mnist", FASHION_OLD, FASHION_NEW),
    Upgrade("worse", "fashion_mnist", FASHION_NEW, "pca-128"),
    Upgrade("equal", "fashion_mnist", FASHION_NEW, FASHION_TWIN),
    Upgrade("wrong pairs", "fashion_mnist", "pca-128", FASHION_NEW, wrong=0.03),
    Upgrade("better", "omniglot", "pca-64", OMNIGLOT_NEW),
    Upgrade("better", "omniglot", OMNIGLOT_OLD, OMNIGLOT_NEW),
    Upgrade("worse", "omniglot", OMNIGLOT_NEW, "pca-64"),
    Upgrade("equal", "omniglot", OMNIGLOT_NEW, OMNIGLOT_TWIN),
    Upgrade("tiny", "omniglot", OMNIGLOT_OLD, OMNIGLOT_NEW, pairs=150),
)


@dataclass(frozen=True)
class Drawn:
    """An upgrade's vectors and truth for one seed.

    Attributes:
        old, new: (gallery, queries) by either encoder, (G, d) and (Q, d), (G, D) and (Q, D).
        relevant: (Q, G) float32 grades.
        queries: (Q,) which of the data set's queries they are.
        pairs: (P,) rows of the gallery that the maps are fitted to.
        of_pairs: (P, D) their new vectors, some of them those of other rows.
        labels: (G,) of the rows; empty where there are none.
    """

    old: tuple[Vectors, Vectors]
    new: tuple[Vectors, Vectors]
    relevant: NDArray[np.float32]
    queries: NDArray[np.int64]
    pairs: NDArray[np.int64]
    of_pairs: Vectors
    labels: NDArray[np.str_]


def drawn(upgrade: Upgrade, content: Content, data: Path, folder: Path, seed: int) -> Drawn:
    """Rows, queries and pairs of a seed. Rows that a judgement names are always there."""
    random = np.random.default_rng([seed, len(upgrade.data), len(upgrade.new)])
    judged = np.unique(content.relevant[:, 1])
    others = np.setdiff1d(np.arange(len(content.gallery)), judged)
    count = min(upgrade.rows, len(content.gallery))
    rows = np.sort(np.concatenate([judged, random.permutation(others)[: max(0, count - len(judged))]]))
    asked = np.unique(content.relevant[:, 0]) if len(judged) else np.arange(len(content.queries))
    queries = np.sort(random.permutation(asked)[:MOST_QUERIES])
    old = tuple(features(data, folder, upgrade.data, upgrade.old))
    old = (old[0][rows], old[1][queries])
    if upgrade.new == "rotated":
        turn = np.linalg.qr(random.normal(size=(old[0].shape[1],) * 2))[0].astype(np.float32)
        new = (old[0] @ turn, old[1] @ turn)
    elif upgrade.new == "unrelated":
        new = (_noise(random, len(rows)), _noise(random, len(queries)))
    else:
        made = features(data, folder, upgrade.data, upgrade.new)
        new = (made[0][rows], made[1][queries])
    pairs = np.sort(random.permutation(len(rows))[: upgrade.pairs or len(rows)])
    of_pairs = new[0][pairs].copy()
    wrong = random.permutation(len(pairs))[: round(upgrade.wrong * len(pairs))]
    of_pairs[wrong] = of_pairs[np.roll(wrong, 1)]
    labels = content.gallery_labels[rows] if len(content.gallery_labels) else content.gallery_labels
    return Drawn(old, new, _relevant(content, rows, queries), queries, pairs, of_pairs, labels)


def _noise(random: np.random.Generator, count: int) -> Vectors:
    """(N, 128) directions drawn at random: an encoder that knows nothing of the items."""
    vectors = random.normal(size=(count, 128)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _relevant(content: Content, rows: NDArray[np.int64], queries: NDArray[np.int64]) -> NDArray[np.float32]:
    if len(content.gallery_labels):
        same = content.query_labels[queries][:, None] == content.gallery_labels[rows][None, :]
        return same.astype(np.float32)
    grades = np.zeros((len(content.queries), len(content.gallery)), np.float32)
    grades[content.relevant[:, 0], content.relevant[:, 1]] = content.relevant[:, 2]
    return grades[np.ix_(queries, rows)]


def results(scores: NDArray[np.float32], relevant: NDArray[np.float32], *, labelled: bool) -> Values:
    """(Q,) CMC@1 where labels are the truth, nDCG@10 where judgements are."""
    if labelled:
        return relevant[np.arange(len(scores)), scores.argmax(axis=1)].astype(np.float64)
    order = torch.from_numpy(scores).topk(10, dim=1).indices.numpy()
    discounts = 1 / np.log2(np.arange(2, 12))
    found = (np.take_along_axis(relevant, order, axis=1) * discounts).sum(axis=1)
    best = (-np.sort(-relevant, axis=1)[:, :10] * discounts).sum(axis=1)
    return np.asarray(found / best, np.float64)


def measured(upgrade: Upgrade, data: Path, folder: Path, seed: int) -> dict[str, Values]:
    """Per-query results of staying, of each map and its blends by weight, of those that `auto` takes, of a reindex."""
    one = drawn(upgrade, CONTENT[upgrade.data](data), data, folder, seed)
    labelled = len(one.labels) > 0
    old_scores = one.old[1] @ one.old[0].T
    made = {"queries": one.queries.astype(np.float64), "stay": results(old_scores, one.relevant, labelled=labelled)}
    made["reindex"] = results(one.new[1] @ one.new[0].T, one.relevant, labelled=labelled)
    maps, chosen = fitted_maps(one.of_pairs, one.pairs, one.old[0], one.labels, seed)
    for name, apply in maps.items():
        scores = apply(one.new[1]) @ one.old[0].T
        of_map = {f"map {name}": results(scores, one.relevant, labelled=labelled)}
        for weight in WEIGHTS:  # the length of a blend does not change its ranking
            mixed = weight * scores + (1 - weight) * old_scores
            of_map[f"blend {name} {weight:g}"] = results(mixed, one.relevant, labelled=labelled)
        made |= of_map
        if name == chosen:
            made |= {row.replace(f" {name}", " auto"): values for row, values in of_map.items()}
    return made


def all_measured(data: Path, folder: Path, seeds: int, only: str) -> dict[str, list[dict[str, Values]]]:
    """Upgrade -> the results of each seed; measures those that are missing."""
    found: dict[str, list[dict[str, Values]]] = {}
    for seed in range(seeds):  # first every upgrade once
        for upgrade in UPGRADES:
            path = folder / "results" / f"{upgrade.name.replace(' ', '_').replace(',', '')}-{seed}.npz"
            if only in upgrade.name and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                began = time.process_time()
                np.savez_compressed(path.with_suffix(".part.npz"), **measured(upgrade, data, folder, seed))
                path.with_suffix(".part.npz").rename(path)
                print(f"{upgrade.name}, seed {seed}: {time.process_time() - began:.1f} s", flush=True)
            if path.exists():
                found.setdefault(upgrade.name, []).append(dict(np.load(path)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    found = all_measured(options.data.resolve(), options.folder.resolve(), options.seeds, options.only)
    from adapter_tables import report

    options.output.write_text(report(found, {one.name: one for one in UPGRADES}))


if __name__ == "__main__":
    main()
