"""A check under the gallery's policy: its defaults, what a laxer one says and allows, and numbers said only once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.gate.evidence import Evidence, measure_slice, with_requirements
from skipfill.compat.gate.verdict import requirements_of
from skipfill.store.checks.policy import Policy
from tests.conftest import Skipfill, World

LENIENT = ("--metric", "mAP", "--margin", 0.3, "--accept-worse", "unseen")


def checked(skipfill: Skipfill, items: object, *more: object) -> dict[str, Any]:
    report: dict[str, Any] = skipfill(
        *("check", "things", "v2", "--items", items, *more, "--json"), expect=None
    ).document["check"]
    return report


def mislabelled(items: Path) -> Path:
    """The same queries with the labels of others: no model finds what they ask for."""
    table = pq.read_table(items)
    labels = table.column("label").to_pylist()
    rolled = pa.array(labels[len(labels) // 2 :] + labels[: len(labels) // 2])
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", rolled), "mislabelled.parquet")
    return Path("mislabelled.parquet")


def test_a_fail_then_a_laxer_pass_allows_no_swap(skipfill: Skipfill, with_v2: World) -> None:
    failed = checked(skipfill, with_v2.heldout, "--flip-budget", 0.0001)
    assert failed["verdict"] == "fail", failed["why"]
    # A wider margin still has no room: see the rules of admission.
    lax_policy = ("--margin", 0.3, "--confidence", 0.5, "--not-worse", "--accept-worse", "unseen")
    lax = checked(skipfill, with_v2.heldout, *lax_policy)
    assert lax["verdict"] == "pass"
    assert [one.split()[0] for one in lax["asked_less"]] == ["margin", "confidence", "better", "accept"]
    refused = skipfill("swap", "things", "v2", expect=1).err
    assert f"found {failed['id']} fail" in refused
    assert "--instead-of" in refused
    shown = skipfill("report", "things", lax["id"]).out
    assert "asked less than the gallery's policy, so a pass allows no swap: margin 0.3" in shown
    skipfill("swap", "things", "v2", "--without-check", "in a hurry")
    assert f"check {failed['id']} failed. Other checks: {lax['id']} pass" in skipfill("history", "things").out


def test_a_check_takes_the_gallerys_policy_and_options_change_it(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("policy", "things", *LENIENT, "--slice", "known = 'unseen'")
    asked = checked(skipfill, with_v2.heldout)
    assert (asked["policy"]["metric"], asked["policy"]["margin"], asked["asked_less"]) == ("mAP", 0.3, [])
    assert "known = 'unseen'" in [one["name"] for one in asked["slices"]]
    strict = checked(skipfill, with_v2.heldout, "--margin", 0.01, "--better")
    assert (strict["policy"]["margin"], strict["asked_less"]) == (0.01, [])
    other = checked(skipfill, with_v2.heldout, "--metric", "CMC@5")
    assert other["asked_less"] == ["metric CMC@5 (the policy: mAP)"]


def test_the_next_command_asks_what_the_policy_asks(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("policy", "things", *LENIENT)
    files = ("--items", with_v2.heldout, "--gallery-items", with_v2.gallery_items)
    again = " ".join(map(str, ("skipfill check things v2", *files)))
    for options, code in ((("--confidence", 0.9), 0), (("--flip-budget", 0.0001), 1)):
        said = skipfill("check", "things", "v2", *files, "--identity", "id", *options, expect=code).err
        assert said.endswith(f"under the gallery's policy: {again} --identity id\n")
    assert "Next: skipfill swap" in skipfill("check", "things", "v2", *files, "--identity", "id").err


def test_another_metric_allows_nothing(skipfill: Skipfill, with_v2: World) -> None:
    assert checked(skipfill, with_v2.heldout, *LENIENT)["verdict"] == "pass"
    refused = skipfill("swap", "things", "v2", expect=1).err
    assert "asked less: metric mAP (the policy: CMC@1)" in refused
    assert "skipfill policy things --metric mAP --margin 0.3 --accept-worse unseen" in refused


def test_the_same_queries_have_one_digest_in_any_file(skipfill: Skipfill, with_v2: World) -> None:
    """The order of the rows and the form of the file are not what was asked; all values of a row are."""
    digests = [checked(skipfill, with_v2.heldout)["queries"]["digest"]]
    table = pq.read_table(with_v2.heldout)
    pq.write_table(table.take(list(range(len(table)))[::-1]), "again.parquet", compression="gzip", row_group_size=50)
    assert checked(skipfill, "again.parquet")["queries"]["digest"] == digests[0]
    vectors = np.stack(table.column("vector").to_pylist())
    changed = pa.FixedSizeListArray.from_arrays(pa.array((vectors * 1.01).reshape(-1)), vectors.shape[1])
    pq.write_table(table.set_column(table.schema.get_field_index("vector"), "vector", changed), "scaled.parquet")
    pq.write_table(table.slice(1), "fewer.parquet")
    pq.write_table(table.append_column("shop", pa.array(["a"] * len(table))), "more_columns.parquet")
    for path in ("scaled.parquet", "fewer.parquet", "more_columns.parquet", mislabelled(with_v2.heldout)):
        digests.append(checked(skipfill, path)["queries"]["digest"])
    assert len(set(digests)) == 5


def test_a_check_on_more_queries_answers_an_undecided_one_also_with_slices(skipfill: Skipfill, with_v2: World) -> None:
    """And a pass on the same queries answers a fail, though the policy has other slices since."""
    skipfill("policy", "things", *LENIENT)
    table = pq.read_table(with_v2.heldout)
    table = table.append_column("lang", pa.array(["fr" if place % 2 else "en" for place in range(len(table))]))
    pq.write_table(table, "all.parquet")
    pq.write_table(table.slice(0, 20), "few.parquet")
    assert checked(skipfill, "few.parquet")["verdict"] == "inconclusive"
    skipfill("policy", "things", "--slice", "lang = 'fr'")
    assert checked(skipfill, "few.parquet", "--identity", "query.id")["verdict"] == "inconclusive"
    assert checked(skipfill, "all.parquet", "--identity", "query.id")["verdict"] == "pass"
    assert "found" in skipfill("swap", "things", "v2", expect=1).err  # those without an identity are still undecided
    assert checked(skipfill, "all.parquet")["verdict"] == "pass"
    skipfill("swap", "things", "v2")


def test_a_reason_for_other_queries(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("policy", "things", *LENIENT)
    failed = checked(skipfill, mislabelled(with_v2.heldout), "--margin", 0, "--confidence", 0.5)
    assert failed["verdict"] != "pass", failed["why"]
    checked(skipfill, with_v2.heldout)
    assert f"found {failed['id']}" in skipfill("swap", "things", "v2", expect=1).err
    command = ("check", "things", "v2", "--items", with_v2.heldout, "--instead-of")
    assert "--instead-of: expected a reason too" in skipfill(*command, failed["id"], expect=2).err
    assert "expected a known check of this model" in skipfill(*command, "abc", "--reason", "x", expect=2).err
    answer = checked(skipfill, with_v2.heldout, "--instead-of", failed["id"], "--reason", "the labels were others'")
    assert (answer["instead_of"], answer["reason"]) == ([failed["id"]], "the labels were others'")
    skipfill("swap", "things", "v2")
    assert f"instead of {failed['id']}: the labels were others'" in skipfill("history", "things").out


def test_a_slice_of_a_value_is_no_predicate_of_the_policy(skipfill: Skipfill, with_v2: World) -> None:
    """Values with quotes make its name read like one."""
    table = pq.read_table(with_v2.heldout)
    quoted = pa.array(["'en'" if place % 2 else "'fr'" for place in range(len(table))])
    pq.write_table(table.append_column("lang", quoted), "quoted.parquet")
    skipfill("policy", "things", *LENIENT)
    by_value = checked(skipfill, "quoted.parquet", "--slice-by", "lang")
    assert by_value["verdict"] == "pass"
    assert {one["name"]: one["by_value"] for one in by_value["slices"]}["lang = 'en'"]
    skipfill("policy", "things", "--slice", "lang = 'en'")
    refused = skipfill("swap", "things", "v2", expect=1).err
    assert "asked less: slices without lang = 'en' (the policy: each of these judged)" in refused
    assert "skipfill policy things --without-slice 'lang = '\"'\"'en'\"'\"''" in refused
    plain = pa.array(["en" if place % 2 else "fr" for place in range(len(table))])
    pq.write_table(table.append_column("lang", plain), "plain.parquet")
    by_predicate = checked(skipfill, "plain.parquet")
    assert (by_predicate["verdict"], by_predicate["asked_less"]) == ("pass", [])
    skipfill("swap", "things", "v2")


@pytest.mark.parametrize("way", ["the same queries", "--queries", "--instead-of"])
def test_a_fail_on_fewer_queries_than_the_policy_asks_for_can_be_answered(
    skipfill: Skipfill, with_v2: World, way: str
) -> None:
    """Its own queries answer it only where the policy lets so few pass; the message names the ways that there are."""
    skipfill("policy", "things", *LENIENT, "--not-worse")
    pq.write_table(pq.read_table(with_v2.known).slice(0, 24), "few.parquet")
    failed = checked(skipfill, "few.parquet", "--flip-budget", 0.0001)
    assert failed["verdict"] == "fail", failed["why"]
    assert checked(skipfill, "few.parquet")["verdict"] == "inconclusive"
    passed = checked(skipfill, with_v2.heldout)
    assert passed["verdict"] == "pass"
    refused = skipfill("swap", "things", "v2", expect=1).err
    assert f"found {failed['id']} fail" in refused
    for words in (
        "A later check passes on the same queries, and has as many queries as the ",
        "skipfill policy things --queries DIGEST",
    ):
        assert words in refused
    assert f"--instead-of {failed['id']} --reason TEXT" in refused
    if way == "--queries":
        assert passed["queries"]["digest"] in skipfill("report", "things", passed["id"]).out
        skipfill("policy", "things", "--queries", passed["queries"]["digest"])
    elif way == "--instead-of":
        checked(skipfill, with_v2.heldout, "--instead-of", failed["id"], "--reason", "too few to tell")
    else:
        skipfill("policy", "things", "--least-queries", 10)
        assert checked(skipfill, "few.parquet")["verdict"] == "pass"
    skipfill("swap", "things", "v2")


@pytest.mark.parametrize("metric", ["mAP", "CMC@1"])
def test_a_number_has_one_interval(skipfill: Skipfill, with_v2: World, metric: str) -> None:
    report = checked(skipfill, with_v2.heldout, "--metric", metric)
    for part in report["slices"]:
        (asked,) = [one for one in part["requirements"] if one["base"] == "old/old"]
        assert part["change"][metric] == {"mean": asked["found"], "low": asked["low"], "high": asked["high"]}
    shown = skipfill("report", "things", report["id"]).out
    for line in report["why"]:
        found, low, high = re.findall(r"[+-]\d\.\d{3}", line)
        assert f"{found} {low} {high}" in shown


def test_a_pass_lists_its_requirements_and_a_group_of_all_is_shown_once(skipfill: Skipfill, with_v2: World) -> None:
    report = checked(skipfill, with_v2.known, "--metric", "mAP", "--accept-worse", "unseen")
    assert report["verdict"] == "pass"
    held = [line for line in report["why"] if ": holds: " in line]
    assert [line.split(":")[0] for line in held] == ["all", "seen"]
    shown = skipfill("report", "things", report["id"]).out
    assert "seen (the same queries)" in shown
    assert shown.count("old/old  ") == 1
    assert all(line in shown for line in held)


@pytest.mark.parametrize(
    ("metric", "flips", "claim"),
    [
        ("CMC@1", (0, 100), "fewer than 5.00% of queries right before and wrong after"),
        ("nDCG@10", (30, 10), "fewer than 5.00% of queries with a lower nDCG@10 than before"),
    ],
)
def test_flips_are_those_of_the_deciding_metric(metric: str, flips: tuple[int, int], claim: str) -> None:
    old = {"CMC@1": np.zeros(200), "nDCG@10": np.full(200, 0.5)}
    new = {name: values.copy() for name, values in old.items()}
    new["CMC@1"][:100] = 1
    new["nDCG@10"][:30] -= 0.1
    new["nDCG@10"][30:40] += 0.1
    evidence = Evidence({"old/old": old, "new/old": new}, {}, "new/new", np.arange(200))
    policy, everything = replace(Policy(), metric=metric, flip_budget=0.05), np.ones(200, bool)
    required = requirements_of("all", evidence, everything, policy)
    measured = with_requirements(measure_slice("all", evidence, everything, policy), required, metric)
    assert (measured.flips["negative"], measured.flips["positive"]) == flips
    assert measured.requirements[-1].claim == claim
    assert -measured.requirements[-1].found == flips[0] / 200


def test_queries_without_what_had_nothing_to_find_are_other_queries(skipfill: Skipfill, with_v2: World) -> None:
    """Otherwise one could pick those that a check may look at, and answer with them the check of all."""
    skipfill("policy", "things", *LENIENT)
    table = pq.read_table(with_v2.known)
    nowhere = np.arange(len(table)) % 3 == 0
    labels = np.where(nowhere, "nowhere", table.column("label").to_pylist())
    table = table.set_column(table.schema.get_field_index("label"), "label", pa.array(labels))
    pq.write_table(table, "all.parquet")
    pq.write_table(table.filter(pa.array(~nowhere)), "picked.parquet")
    everything = checked(skipfill, Path("all.parquet"))
    picked = checked(skipfill, Path("picked.parquet"))
    assert (everything["verdict"], picked["verdict"]) == ("inconclusive", "pass")
    assert everything["queries"]["digest"] != picked["queries"]["digest"]
    assert f"found {everything['id']} inconclusive" in skipfill("swap", "things", "v2", expect=1).err
