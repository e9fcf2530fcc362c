"""Re-ranking against staying, a view, a blend and a reindex, on three data sets: quality by rows encoded.

    pip install -c .ci/constraints.txt '.[bench]'
    python tests/benchmarks/reranking.py DATA_FOLDER WORK_FOLDER OUTPUT.md [--seeds 3] [--only PART_OF_NAME]

DATA_FOLDER holds the data sets of `adapter_features.py`; WORK_FOLDER keeps their features. OUTPUT.md gets the tables.
Not part of the test run. Nothing is tuned on these results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from adapter_features import CONTENT, KINDS, Content
from adapter_maps import fitted_maps
from adapters import OMNIGLOT_NEW, OMNIGLOT_OLD, WEIGHTS, Drawn, Upgrade, drawn, results
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from skipfill.compat.evaluation.statistics.bootstrap import interval, resampled_means
from skipfill.compat.reranking.order import reordered
from skipfill.compat.reranking.touched import predicted
from skipfill.compat.training.blending.weight import best_weight
from skipfill.store.checks.policy import Policy

Values = NDArray[np.float64]
Scores = NDArray[np.float32]
CASES = (
    Upgrade("better", "scifact", "words-256", "minilm-6", rows=5_183),
    Upgrade("better", "scifact", "svd-256", "minilm-6", rows=5_183),
    Upgrade("better", "scifact", "svd-128", "minilm-6", rows=5_183),
    Upgrade("better", "banking77", "svd-128", "minilm-6", rows=10_003),
    Upgrade("better", "omniglot", OMNIGLOT_OLD, OMNIGLOT_NEW, rows=7_200),
)
KS = (10, 50, 200, 500)
FILLED = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
FILLED_K = 200
POLICY = Policy()


@dataclass(frozen=True)
class Ways:
    """One upgrade and seed.

    Attributes:
        values: way -> (Q,) results in the metric that decides.
        encoded: way -> rows of the gallery that are encoded for these queries.
        filled: kind of overlay, share -> (Q / 2,) results on the later half of the queries without any item.
        later: (Q / 2,) results of staying on the same half.
        predictions: K -> rows touched by all queries, and the band that a tenth of them predicts.
        rows: of the gallery.
        of_test: (Q,) bool, which queries are in the test part of the data set's judgements; None without parts.
    """

    values: dict[str, Values]
    encoded: dict[str, int]
    filled: dict[tuple[str, float], Values]
    later: Values
    predictions: dict[int, tuple[int, float, float, float]]
    rows: int
    of_test: NDArray[np.bool_] | None


def words(content: Content, encoder: str, settings: str) -> dict[str, tuple[Scores, Scores]]:
    """TF-IDF of single words, and a singular value decomposition of the gallery's to so many dimensions."""
    tfidf = TfidfVectorizer(sublinear_tf=True)
    gallery, queries = tfidf.fit_transform(content.gallery), tfidf.transform(content.queries)
    svd = TruncatedSVD(int(settings), random_state=0).fit(gallery)
    return {encoder: (svd.transform(gallery), svd.transform(queries))}


KINDS["words"] = words


def measured(upgrade: Upgrade, data: Path, folder: Path, seed: int) -> Ways:
    """All ways to answer the queries of one upgrade."""
    one = drawn(upgrade, CONTENT[upgrade.data](data), data, folder, seed)
    old, new = one.old[1] @ one.old[0].T, one.new[1] @ one.new[0].T
    best_first = np.argsort(-old, axis=1, kind="stable")
    order = np.random.default_rng(seed).permutation(len(old))
    values, encoded = {"stay": _results(old, one)}, {"stay": 0}
    values |= _views(one, old, seed)
    for k in KS:
        values[f"re-ranking {k}"] = _reranked(best_first, old, new, k, np.ones(old.shape[1], bool), one)
        encoded[f"re-ranking {k}"] = len(np.unique(best_first[:, :k]))
    values["reindex"], encoded["reindex"] = _results(new, one), old.shape[1]
    past, asked = order[: len(order) // 2], order[len(order) // 2 :]
    filled = {
        (kind, share): _reranked(best_first, old, new, FILLED_K, known, one)[asked]
        for kind, share, known in _overlays(best_first[past, :FILLED_K], old.shape[1], seed)
    }
    predictions = {k: _prediction(best_first[order, :k], old.shape[1]) for k in KS}
    of_test = _of_test(data, one.queries) if upgrade.data == "scifact" else None
    return Ways(values, encoded, filled, values["stay"][asked], predictions, old.shape[1], of_test)


def _of_test(data: Path, queries: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(Q,) which of the claims are those of the test part."""
    ids = pq.read_table(data / "scifact" / "queries.parquet").column("id").to_pylist()
    test = set(pq.read_table(data / "scifact" / "qrels_test.parquet").column("query_id").to_pylist())
    return np.array([ids[query] in test for query in queries])


def _results(scores: Scores, one: Drawn) -> Values:
    return results(scores, one.relevant, labelled=len(one.labels) > 0)


def _views(one: Drawn, old: Scores, seed: int) -> dict[str, Values]:
    """The view, and its blend with the weight that a half of the queries chooses by the rule of `skipfill blend`."""
    maps, chosen = fitted_maps(one.of_pairs, one.pairs, one.old[0], one.labels, seed)
    mapped = maps[chosen](one.new[1]) @ one.old[0].T
    grid = {0.0: _results(old, one), 1.0: _results(mapped, one)}
    grid |= {weight: _results(weight * mapped + (1 - weight) * old, one) for weight in WEIGHTS}
    half = np.arange(len(old)) % 2 == 0
    chosen = best_weight({weight: values[half] for weight, values in sorted(grid.items())}, np.arange(half.sum()))
    return {"view": grid[1.0], "blend": grid[chosen]}


def _reranked(
    best_first: NDArray[np.int64], old: Scores, new: Scores, k: int, known: NDArray[np.bool_], one: Drawn
) -> Values:
    """(Q,) results of re-ranking the first `k` rows, of which some have a new vector."""
    rows = best_first[:, :k]
    order = reordered(np.take_along_axis(new, rows, axis=1), known[rows], rows)
    places = np.empty_like(best_first)
    ranked = best_first.copy()
    ranked[:, :k] = np.take_along_axis(rows, order, axis=1)
    np.put_along_axis(places, ranked, np.broadcast_to(np.arange(old.shape[1]), ranked.shape), axis=1)
    return _results(-places.astype(np.float32), one)


def _overlays(past: NDArray[np.int64], rows: int, seed: int) -> Iterator[tuple[str, float, NDArray[np.bool_]]]:
    """Overlays of some of the rows: drawn at random, or those that past queries touched first."""
    random = np.random.default_rng(seed).permutation(rows)
    touched, first = np.unique(past.reshape(-1), return_index=True)
    by_time = touched[np.argsort(first)]
    by_time = np.concatenate([by_time, np.setdiff1d(random, by_time)])
    for kind, sequence in (("at random", random), ("touched by past queries", by_time)):
        for share in FILLED:
            known = np.zeros(rows, bool)
            known[sequence[: round(share * rows)]] = True
            yield kind, share, known


def _prediction(rows: NDArray[np.int64], gallery_rows: int) -> tuple[int, float, float, float]:
    [later] = predicted(rows[: len(rows) // 10], gallery_rows, [len(rows)])
    return len(np.unique(rows)), later.rows, later.low, later.high


def report(found: dict[str, list[Ways]]) -> str:
    """The tables as Markdown."""
    return "\n".join([*_quality(found), "", *_filled(found), "", *_predictions(found), ""])


def _quality(found: dict[str, list[Ways]]) -> list[str]:
    lines = ["| upgrade | answers | quality | change | gain | rows encoded |", "|---|---|---|---|---|---|"]
    parts = []
    for name, seeds in found.items():
        parts.append((name, seeds, [np.ones(len(one.values["stay"]), bool) for one in seeds]))
        if of_test := [one.of_test for one in seeds if one.of_test is not None]:
            parts.append((f"{name}, test claims alone", seeds, of_test))
    for name, seeds, masks in parts:
        stay, top = (_joined(seeds, masks, way) for way in ("stay", "reindex"))
        for way in seeds[0].values:
            values = _joined(seeds, masks, way)
            gain = (values.mean() - stay.mean()) / (top.mean() - stay.mean())
            rows = np.mean([one.encoded.get(way, 0) / one.rows for one in seeds])
            change = _interval(values - stay, "+") if way != "stay" else ""
            lines.append(f"| {name} | {way} | {_interval(values)} | {change} | {gain:.2f} | {rows:.0%} |")
    return lines


def _joined(seeds: list[Ways], masks: list[NDArray[np.bool_]], way: str) -> Values:
    """The results of one way for some queries of every seed."""
    return np.concatenate([one.values[way][mask] for one, mask in zip(seeds, masks, strict=True)])


def _filled(found: dict[str, list[Ways]]) -> list[str]:
    lines = [
        f"| upgrade | overlay | {' | '.join(f'{share:.0%}' for share in FILLED)} |",
        "|---|---|" + "---|" * len(FILLED),
    ]
    for name, seeds in found.items():
        for kind in dict.fromkeys(kind for kind, _ in seeds[0].filled):
            changes = [
                np.concatenate([one.filled[kind, share] - one.later for one in seeds]).mean() for share in FILLED
            ]
            lines.append(f"| {name} | {kind} | {' | '.join(f'{change:+.3f}' for change in changes)} |")
    return lines


def _predictions(found: dict[str, list[Ways]]) -> list[str]:
    lines = ["| upgrade | K | touched | predicted from a tenth, each seed |", "|---|---|---|---|"]
    for name, seeds in found.items():
        for k in KS:
            truths = np.mean([one.predictions[k][0] / one.rows for one in seeds])
            bands = [(one.predictions[k], one.rows) for one in seeds]
            shown = ", ".join(
                f"{mean / rows:.0%} ({low / rows:.0%}-{high / rows:.0%}{'' if low <= truth <= high else ', missed'})"
                for (truth, mean, low, high), rows in bands
            )
            lines.append(f"| {name} | {k} | {truths:.0%} | {shown} |")
    return lines


def _interval(values: Values, sign: str = "") -> str:
    drawn_means = resampled_means(values[:, None], POLICY.resamples, POLICY.seed)[:, 0]
    found = interval(float(values.mean()), drawn_means, POLICY.confidence)
    return f"{found.mean:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    found = {}
    for upgrade in CASES:
        if options.only in upgrade.name:
            seeds = range(options.seeds)
            found[upgrade.name] = [measured(upgrade, options.data, options.folder, seed) for seed in seeds]
            print(f"{upgrade.name}: measured", flush=True)
            options.output.write_text(report(found))


if __name__ == "__main__":
    main()
