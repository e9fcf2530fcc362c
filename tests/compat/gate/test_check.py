"""Checks that must never pass: each of these ends in a fail, in too little evidence, or as bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load, save

from skipfill.store.models.cards import WEIGHTS, load_card
from skipfill.store.models.files import read_file, save_model
from skipfill.store.storage.location import open_store
from tests.conftest import Result, Skipfill, World, write_vectors

CHECK = ["check", "things"]


LENIENT = ("--metric", "mAP", "--margin", 0.3, "--accept-worse", "unseen")
"""A policy that is easily met."""


def judged(skipfill: Skipfill, items: object, *more: object, model: str = "v2") -> Result:
    """A check with a policy that is easily met."""
    return skipfill(*CHECK, model, "--items", items, *LENIENT, *more, "--json", expect=None)


def rewritten(path: Path, name: str, column: str, values: object) -> Path:
    table = pq.read_table(path)
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, pa.array(values)), name)
    return Path(name)


def test_the_good_model_passes(skipfill: Skipfill, with_v2: World) -> None:
    found = judged(skipfill, with_v2.heldout)
    assert found.document["verdict"] == "pass", found.out


def test_noise_fails(skipfill: Skipfill, with_v2: World) -> None:
    objects = open_store(Path(".skipfill"))
    card = load_card(objects, "v2")
    torch.manual_seed(0)
    weights = load(read_file(objects, card, WEIGHTS))
    noise = {name: torch.randn_like(one) if one.is_floating_point() else one for name, one in weights.items()}
    views = {("noise" if space == "v2" else space): view for space, view in card.views.items()}
    save_model(objects, replace(card, name="noise", views=views), save(noise), pa.array(["none"]))
    found = judged(skipfill, with_v2.heldout, model="noise")
    assert found.code == 1, found.out


def test_rows_and_items_of_other_ids_are_refused(skipfill: Skipfill, with_v2: World) -> None:
    """The id column permuted: everything is found, and nothing is what it seems."""
    ids = pq.read_table(with_v2.gallery_items).column("id").to_pylist()
    strange = rewritten(with_v2.gallery_items, "permuted.parquet", "id", ids[::-1])
    assert judged(skipfill, strange).code == 2
    shifted = [f"x{one}" for one in ids[::-1]]
    assert judged(skipfill, rewritten(with_v2.gallery_items, "other.parquet", "id", shifted)).code != 2


def test_judgements_of_permuted_ids_pass_nothing(skipfill: Skipfill, with_v2: World) -> None:
    queries, rows = pq.read_table(with_v2.heldout), pq.read_table("gallery.parquet")
    right = [
        (query, row, 1)
        for query, label in zip(queries["id"].to_pylist(), queries["label"].to_pylist(), strict=True)
        for row, other in zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True)
        if label == other
    ]
    order = dict(zip(rows["id"].to_pylist(), np.random.default_rng(0).permutation(rows["id"].to_pylist()), strict=True))
    for name, lines in (("right", right), ("wrong", [(query, order[row], 1) for query, row, _ in right])):
        Path(f"{name}.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{r}\t{g}\n" for q, r, g in lines)
        )
    by_labels = judged(skipfill, with_v2.heldout).document["check"]
    by_judges = judged(skipfill, with_v2.heldout, "--judgements", "right.tsv").document["check"]
    assert by_judges["slices"] == by_labels["slices"]
    assert judged(skipfill, with_v2.heldout, "--judgements", "wrong.tsv").code in (1, 3)


@pytest.mark.parametrize("queries", [1, 5, 29])
def test_a_truncated_query_set_is_not_enough(skipfill: Skipfill, with_v2: World, queries: int) -> None:
    pq.write_table(pq.read_table(with_v2.heldout).slice(0, queries), "few.parquet")
    found = judged(skipfill, "few.parquet")
    assert found.code == 3, found.out
    assert f"{queries} queries are fewer than 30" in " ".join(found.document["check"]["why"])


def test_a_gallery_of_another_space_passes_nothing(skipfill: Skipfill, with_v2: World) -> None:
    """v2's vectors registered as v1's: by a file that says so, and by one that does not."""
    skipfill("encode", "v2", with_v2.gallery_items, "-o", "new.parquet")
    refused = skipfill("gallery", "add", "swapped", "new.parquet", "--space", "v1", expect=2)
    assert "those of model v1" in refused.err
    table = pq.read_table("new.parquet")
    vectors = np.stack(table.column("vector").to_pylist())[:, :8]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_vectors(
        Path("mute.parquet"), vectors[::-1], table.column("id").to_pylist(), table.column("label").to_pylist()
    )
    skipfill("gallery", "add", "mute", "mute.parquet", "--space", "v1")
    command = ["check", "mute", "v2", "--items", with_v2.heldout, "--metric", "mAP", "--margin", 0.3]
    for more in ([], ["--gallery-items", with_v2.gallery_items]):
        assert skipfill(*command, *more, "--accept-worse", "unseen", expect=None).code in (1, 2, 3)


def test_a_model_of_the_same_dimension_from_elsewhere_is_refused(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--dim", 8, "--epochs", 20, "--method", "independent")
    found = judged(skipfill, registered.heldout)
    assert found.code == 2
    assert "expected a view onto the gallery's space 'v1'" in found.err


def test_vectors_of_other_lengths_are_not_the_models_own(skipfill: Skipfill, registered: World) -> None:
    table = pq.read_table("gallery.parquet")
    vectors = np.stack(table.column("vector").to_pylist())
    vectors *= np.random.default_rng(0).uniform(0.5, 2, (len(vectors), 1))
    write_vectors(Path("long.parquet"), vectors, table.column("id").to_pylist(), table.column("label").to_pylist())
    refused = skipfill("gallery", "add", "long", "long.parquet", "--space", "v1", expect=2)
    assert "expected a vector of length 1" in refused.err


def test_queries_asked_many_times_are_not_many(skipfill: Skipfill, with_v2: World) -> None:
    """Twenty queries under a hundred ids: the same ids are refused, other ids are seen through."""
    few = pq.read_table(with_v2.heldout).take(list(range(0, 96, 5)))
    pq.write_table(pa.concat_tables([few] * 5), "twice.parquet")
    assert "expected unique ids" in judged(skipfill, "twice.parquet").err
    names = [f"copy-{number}" for number in range(5 * len(few))]
    found = judged(skipfill, rewritten(Path("twice.parquet"), "copies.parquet", "id", names))
    assert found.code == 3, found.out
    first = found.document["check"]["slices"][0]
    assert (first["queries"], first["units"]) == (100, 20)
    assert "80 queries have the same vector as another query" in " ".join(found.document["check"]["warnings"])


def test_an_empty_slice_and_a_bad_one(skipfill: Skipfill, with_v2: World) -> None:
    nobody = judged(skipfill, with_v2.heldout, "--slice", "label = 'nobody'")
    assert nobody.code == 3
    assert "label = 'nobody': no query of this kind" in nobody.document["check"]["why"]
    for bad in ("labl = 'x'", "label =", "1; DROP TABLE asked", "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0"):
        refused = judged(skipfill, with_v2.heldout, "--slice", bad)
        assert refused.code == 2, bad
        assert "expected SQL over columns of the queries" in refused.err


def test_slices_see_columns_of_queries_of_the_gallery_and_what_was_found_out(
    skipfill: Skipfill, with_v2: World
) -> None:
    """Each predicate against the same rows chosen in Python."""
    table = pq.read_table(with_v2.gallery_items)
    size = len(table)
    pq.write_table(table.append_column("lang", pa.array(["en" if i % 3 else "fr" for i in range(size)])), "q.parquet")
    rows = pq.read_table("gallery.parquet")
    shop = pa.array([f"shop-{i % 4}" for i in range(len(rows))])
    pq.write_table(rows.append_column("shop", shop), "shops.parquet")
    skipfill("gallery", "add", "shops", "shops.parquet", "--space", "v1")
    asked = ["--slice", "lang = 'fr'", "--slice", "shop = 'shop-1' AND lang = 'en'", "--slice", "relevant < 0",
             "--slice", "known = 'unseen'", "--slice-by", "shop", "--slice", "query.label = gallery.label"]  # fmt: skip
    found = skipfill("check", "shops", "v2", "--items", "q.parquet", *asked, "--json", expect=None).document["check"]
    counts = {one["name"]: one["queries"] for one in found["slices"]}
    queries = pq.read_table(Path(".skipfill/checks/shops") / found["id"] / "queries.parquet").to_pylist()
    place = {one: i for i, one in enumerate(table.column("id").to_pylist())}
    row = {one: i for i, one in enumerate(rows.column("id").to_pylist())}
    mine = [one["id"] for one in queries]
    assert counts["lang = 'fr'"] == sum(place[one] % 3 == 0 for one in mine)
    assert counts["shop = 'shop-1' AND lang = 'en'"] == sum(row[one] % 4 == 1 and place[one] % 3 > 0 for one in mine)
    assert counts["known = 'unseen'"] == counts["unseen"]
    assert counts["query.label = gallery.label"] == counts["all"] == len(mine)
    assert counts["relevant < 0"] == 0
    assert sum(count for name, count in counts.items() if name.startswith("shop = shop-") or "rare" in name) == len(
        mine
    )
    for one in queries:
        assert one["slice lang = 'fr'"] == (place[one["id"]] % 3 == 0)


def test_a_reindex_as_the_truth(skipfill: Skipfill, with_v2: World) -> None:
    """Results of a full reindex by another model are the truth, against a slow reference on the encoded files."""
    skipfill("train", "other", "--items", with_v2.items, "--method", "independent", "--epochs", 20, "--seed", 1)
    for model, path, name in (
        ("other", with_v2.gallery_items, "other_rows"),
        ("other", with_v2.heldout, "other_queries"),
        ("v2", with_v2.heldout, "new_queries"),
        ("v1", with_v2.heldout, "old_queries"),
    ):
        skipfill("encode", model, path, "-o", f"{name}.parquet")
    vectors = {
        name: np.stack(pq.read_table(f"{name}.parquet").column("vector").to_pylist()).astype(np.float32)
        for name in ("other_rows", "other_queries", "new_queries", "old_queries", "gallery")
    }
    wanted = np.argsort(-vectors["other_queries"] @ vectors["other_rows"].T, axis=1)[:, :10]
    unlabelled = pq.read_table(with_v2.heldout).drop_columns(["label"])
    pq.write_table(unlabelled, "queries.parquet")
    sources = ("--truth", "reindex", "--ceiling", "other", "--gallery-items", with_v2.gallery_items)
    found = judged(skipfill, "queries.parquet", *sources).document["check"]
    per_query = pq.read_table(Path(".skipfill/checks/things") / found["id"] / "queries.parquet")
    prefix = vectors["new_queries"][:, :8]
    prefix /= np.linalg.norm(prefix, axis=1, keepdims=True)
    for pair, queries in (("old/old", vectors["old_queries"]), ("new/old", prefix)):
        first = np.argsort(-queries @ vectors["gallery"].T, axis=1)[:, :10]
        slow = [len(set(one) & set(two)) / 10 for one, two in zip(first, wanted, strict=True)]
        np.testing.assert_allclose(per_query.column(f"{pair} recall@10").to_numpy(), slow, atol=1e-9)
    assert set(per_query.column("sample ceiling recall@10").to_pylist()) == {1.0}
    assert found["truth"] == "reindex"
    refused = judged(skipfill, "queries.parquet", "--truth", "reindex", "--ceiling", "other")
    assert "expected items of gallery rows, to encode again" in refused.err


def test_the_newest_check_speaks_for_the_model(skipfill: Skipfill, with_v2: World) -> None:
    """A pass does not outlive a later check of the same model on the same gallery that does not."""
    skipfill("policy", "things", *LENIENT)
    assert judged(skipfill, with_v2.heldout).document["verdict"] == "pass"
    skipfill("plan", "things", "v2", "-o", "plan.json")
    strict = skipfill("check", "things", "v2", "--items", with_v2.heldout, "--slice", "label = 'nobody'", expect=None)
    assert strict.code in (1, 3)
    assert "which is newer" in skipfill("swap", "things", "--plan", "plan.json", expect=4).err
    assert "expected a passing check of v2" in skipfill("swap", "things", "v2", expect=1).err
    assert judged(skipfill, with_v2.heldout).document["verdict"] == "pass"
    skipfill("swap", "things", "v2")


def test_thresholds_reach_the_report_and_the_release(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("policy", "things", *LENIENT)
    found = judged(skipfill, with_v2.heldout, "--threshold", 0.5, "--html", "report.html").document["check"]
    threshold = found["thresholds"][0]
    assert threshold["new"]["low"] <= threshold["new"]["mean"] <= threshold["new"]["high"]
    assert threshold["new_rate"]["mean"] == pytest.approx(threshold["old_rate"], rel=0.02)
    assert f"{threshold['new']['mean']:.4f}" in Path("report.html").read_text()
    skipfill("swap", "things", "v2")
    release = skipfill("status", "--json").document["galleries"]["things"]["release"]
    assert release["thresholds"][0]["new"] == threshold["new"]
