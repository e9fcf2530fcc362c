"""The flow for teams that cannot train, with judgements: each printed command runs as it is, up to the swap."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Skipfill
from tests.judged_docs import PROVING, QUERIES, ROWS, write_docs

JUDGED = ("--judgements", "judged.tsv", "--metric", "nDCG@10", "--old-vector", "old")


@pytest.fixture
def docs(skipfill: Skipfill, tmp_path: Path) -> None:
    """Gallery `docs` without labels, whose encoder is gone; map `v2`, to which every judged row was a pair."""
    write_docs(tmp_path)
    skipfill("init")
    skipfill("gallery", "add", "docs", "gallery.parquet", "--space", "ada")
    told = skipfill("train", "v2", "--gallery", "docs", "--items", "pairs.parquet", "--method", "procrustes").err
    assert "Next: skipfill advise docs --candidate v2 --items QUERIES.parquet" in told


def told_commands(told: str) -> list[list[str]]:
    return [shlex.split(part) for part in re.findall(r"skipfill (.+?)(?=, then|\. |\n|$)", told)]


SOURCES = ("--items", "queries.parquet", "--items", "proof.parquet")


def test_the_flow_by_its_next_commands(skipfill: Skipfill, docs: None) -> None:
    advised = skipfill("advise", "docs", "--candidate", "v2", *SOURCES, *JUDGED, "--halves", "halves", expect=0)
    assert "Recommended: v2" in advised.out
    commands = [[{"NAME": "v2b"}.get(word, word) for word in one] for one in told_commands(advised.err)]
    for command in commands[:-1]:
        skipfill(*command)
    check = commands[-1]
    assert check[0] == "check"
    assert check[check.index("--items") + 1 :] == ["halves/check.parquet", *JUDGED]
    chose, asked = (pq.read_table(f"halves/{name}.parquet") for name in ("chose", "check"))
    assert len(chose) == len(asked) == QUERIES // 2 + PROVING
    assert len(set(chose["id"].to_pylist()) & set(asked["id"].to_pylist())) == PROVING
    done = skipfill(*check, expect=0)
    less = "this check asked less than the gallery's policy"
    assert less in " ".join(done.out.split())
    policy = "skipfill policy docs --metric nDCG@10 --reason TEXT"
    assert policy in " ".join(done.out.split())
    assert f"Next: {policy}" in done.err
    skipfill(*told_commands(done.err)[0])
    skipfill("swap", "docs", check[2])


def test_slices_by_pairs_are_neither_required_nor_shown(skipfill: Skipfill, docs: None) -> None:
    """Every query has a relevant row among the pairs, though the gallery has rows that were none."""
    report = skipfill("check", "docs", "v2", *SOURCES, *JUDGED, "--json", expect=0).document["check"]
    assert [one["name"] for one in report["slices"]] == ["all"]
    assert any("rows that were not pairs are not measured separately" in note for note in report["warnings"])
    again = ("--slice-by", "known", "--no-save", "--json")
    report = skipfill("check", "docs", "v2", *SOURCES, *JUDGED, *again, expect=0).document["check"]
    assert [one["name"] for one in report["slices"]] == ["all", "known = seen"]


def test_rows_beside_judged_queries_are_no_queries_under_other_ids(skipfill: Skipfill, docs: None) -> None:
    pairs = pq.read_table("pairs.parquet").slice(0, 2)
    queries = pq.read_table("queries.parquet")
    copied = queries.slice(0, 2).set_column(1, "vector", pairs["vector"])
    pq.write_table(pa.concat_tables([copied, queries.slice(2)]), "queries.parquet")
    report = skipfill("check", "docs", "v2", *SOURCES, *JUDGED, "--json", expect=None).document["check"]
    assert f"{PROVING} items left out: model v2 was trained on these rows" in report["warnings"]
    assert "2 queries left out: model v2 was trained on their content under other ids" in report["warnings"]


def test_queries_choose_among_models_to_blend(skipfill: Skipfill, docs: None) -> None:
    """The best mean of all weights of both, on queries that neither was trained on."""
    pairs, queries = pq.read_table("pairs.parquet"), pq.read_table("queries.parquet")
    few = [pairs.slice(0, 40).select(["id", "vector"]), queries.slice(0, 50).select(["id", "vector"])]
    pq.write_table(pa.concat_tables(few), "few.parquet")
    skipfill("train", "v2few", "--gallery", "docs", "--items", "few.parquet", "--method", "ridge")
    blend = ("blend", "v2b", "--new", "v2few", "--new", "v2", "--old", "ada")
    made = skipfill(*blend, *SOURCES, *JUDGED, "--json").document
    means = {(one["new"], one["weight"]): one["mean"] for one in made["grid"]}
    assert len(means) == 22
    assert means["v2", 0] == means["v2few", 0]
    assert made["model"]["recipe"]["new"] == "v2"
    assert means["v2", made["model"]["recipe"]["weight"]] == max(means.values()) > means["v2", 0]
    assert made["model"]["recipe"]["weight_by"].startswith(f"{QUERIES - 50} queries: ")
    alone = skipfill("blend", "v2c", "--new", "v2", "--old", "ada", *SOURCES, *JUDGED, "--json").document
    assert {one["new"] for one in alone["grid"]} == {"v2"}
    refused = skipfill("blend", "v2d", *blend[2:], "--weight", 0.3, expect=2)
    assert "--new: expected one model, or --items that choose among them, found v2few, v2" in refused.err


def test_a_blend_says_that_its_queries_need_old_vectors(skipfill: Skipfill, docs: None) -> None:
    made = skipfill("blend", "v2n", "--new", "v2", "--old", "ada")
    assert "queries need their old vectors: --old-vector COLUMN" in " ".join(made.out.split())
    swapped = skipfill("swap", "docs", "v2n", "--without-check", "try it")
    assert "skipfill search docs --items QUERIES.parquet --old-vector COLUMN" in " ".join(swapped.err.split())
    shown = " ".join(skipfill("history", "docs").out.split())
    assert "FORCED without a passing check" in shown


def test_missing_old_vectors_are_refused_before_a_model_is_read(skipfill: Skipfill, docs: None) -> None:
    for weights in Path(".skipfill/models/v2").glob("*.safetensors"):
        weights.unlink()
    advise, judged = ("advise", "docs", "--candidate", "v2"), ("--judgements", "judged.tsv")
    none = skipfill(*advise, "--items", "queries.parquet", *judged, "--input", "vector", expect=2).err
    assert "expected old vectors of the queries, since old model ada is gone, found none" in none
    assert "neither that model nor a blend can be used" in none
    other = skipfill(*advise, "--items", "pairs.parquet", *judged, "--old-vector", "old", expect=2).err
    assert "--old-vector old: expected a column of pairs.parquet, found columns id, vector" in other
    assert "Name the column with --old-vector COLUMN" in other
    assert "--input" not in other


def test_a_reindex_of_some_rows_is_compared_with_staying_on_these(skipfill: Skipfill, docs: None) -> None:
    command = ("advise", "docs", "--candidate", "v2", *SOURCES, *JUDGED, "--gallery-items", "pairs.parquet")
    shown = " ".join(skipfill(*command, expect=0).out.split())
    lines = skipfill(*command, "--json", expect=0).document["advice"]["lines"]
    reindex = next(line for line in lines if line["kind"] == "reindex")
    staying = reindex["quality"]["mean"] - reindex["change"]["mean"]
    assert staying > lines[0]["quality"]["mean"]
    assert f"measured on the {ROWS} of {ROWS + 30} rows whose items are given" in shown
    assert f"staying has {staying:.3f} on these" in shown


def test_the_stored_vectors_are_no_new_encoder(skipfill: Skipfill, docs: None) -> None:
    same = ("train", "same", "--gallery", "docs", "--items", "gallery.parquet", "--method", "auto")
    assert "found those that gallery docs stores, for all 390 pairs" in skipfill(*same, expect=2).err


def test_an_accepted_slice_is_shown_as_accepted(skipfill: Skipfill, docs: None) -> None:
    known = "known = 'seen'"
    command = ("check", "docs", "v2", *SOURCES, *JUDGED, "--slice", known, "--accept-worse", known, "--no-save")
    row = next(line for line in skipfill(*command, expect=0).out.splitlines() if line.rstrip().endswith(known))
    assert row.startswith("accepted ")


def test_an_undecided_check_repeats_the_options_that_decide(skipfill: Skipfill, docs: None) -> None:
    told = skipfill("check", "docs", "v2", "--items", "queries.parquet", *JUDGED, "--no-save", expect=3).err
    assert f"Next: skipfill check docs v2 --items queries.parquet {' '.join(JUDGED)} --items PROOF.parquet" in told
    assert "PROOF.parquet: at least 32 rows of the gallery, each with the old model's vector in column old" in told
    advised = skipfill("advise", "docs", "--candidate", "v2", "--items", "queries.parquet", *JUDGED, expect=3).err
    assert "old --items PROOF.parquet. PROOF.parquet: at least 32 rows" in advised
