"""Re-ranking on the command line: check, release, search and undo; and what it is equal to at its ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Skipfill, World, tree

ROWS = 384
ITEMS = ("--gallery-items", "gallery_items.parquet")


def hits(file: Path) -> dict[str, Any]:
    """The hits of a search, without the models in whose space they were scored."""
    return pq.read_table(file).drop_columns(["scored_by"] * ("scored_by" in pq.read_schema(file).names)).to_pydict()


@pytest.fixture
def allowed(skipfill: Skipfill, with_v2: World) -> World:
    """A store whose policy asks nothing of unseen classes, with a passing check of v2 that re-ranks 50 rows."""
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    skipfill("check", "things", "v2", "--items", "known.parquet", *ITEMS, "--rerank", 50)
    return with_v2


def test_the_story(skipfill: Skipfill, allowed: World, tmp_path: Path) -> None:
    """A check of re-ranking allows a swap to it, and to nothing else; the search uses it, and a rollback ends it."""
    assert skipfill("swap", "things", "v2", expect=1).out == ""
    assert "--rerank 60" in skipfill("swap", "things", "v2", "--rerank", 60, expect=1).err
    assert "re-ranking 50 by its view" in (
        skipfill("swap", "things", "v2", "--rerank", 50, "--candidates", "view", expect=1).err
    )
    assert "v2, re-ranking 50 on gallery things" in skipfill("report", "things", "v2").out
    assert "expected a check of this model" in skipfill("report", "things", "v1", expect=2).err
    before = tree(tmp_path)
    planned = skipfill("plan", "things", "v2", "--rerank", 50)
    assert tree(tmp_path) == before
    assert "v1 -> v2, re-ranking 50" in planned.out
    assert "skipfill swap things v2 --rerank 50. To apply" in planned.err
    assert "queries of things use v2, re-ranking 50" in skipfill("swap", "things", "v2", "--rerank", 50).out
    for command in (["status", "things"], ["status"], ["history", "things"], []):
        assert "v2, re-ranking 50" in skipfill(*command).out
    assert "Nothing to do" in skipfill("swap", "things", "v2", "--rerank", 50).out

    asked = ["search", "things", "--items", "heldout.parquet", "-k", 20]
    skipfill(*asked, *ITEMS, "-o", "released.parquet")
    skipfill(*asked, *ITEMS, "--rerank", 50, "--candidates", "old", "-o", "asked.parquet")
    assert pq.read_table("released.parquet").equals(pq.read_table("asked.parquet"))
    assert set(pq.read_table("released.parquet").column("scored_by").to_pylist()) == {"v2"}

    skipfill("rollback", "things")
    skipfill(*asked, "-o", "before.parquet")
    assert pq.read_schema("before.parquet").names == ["query", "rank", "id", "score"]
    assert hits(Path("before.parquet")) != hits(Path("released.parquet"))
    skipfill("rollback", "things", "--to", 3, "--reason", "tried again")
    skipfill(*asked, *ITEMS, "-o", "again.parquet")
    assert hits(Path("again.parquet")) == hits(Path("released.parquet"))


def test_a_saved_plan_of_re_ranking_is_applied(skipfill: Skipfill, allowed: World) -> None:
    skipfill("plan", "things", "v2", "--rerank", 50, "-o", "plan.json")
    plan = json.loads(Path("plan.json").read_text())
    assert (plan["format"], plan["rerank"]) == (3, {"k": 50, "candidates": "old"})
    assert "--rerank" in skipfill("swap", "things", "--plan", "plan.json", "--rerank", 50, expect=2).err
    skipfill("swap", "things", "--plan", "plan.json")
    release = skipfill("status", "things", "--json").document["version"]["release"]
    assert release["rerank"] == {"k": 50, "candidates": "old"}


def test_all_rows_with_new_vectors_are_a_gallery_of_the_new_model(skipfill: Skipfill, with_v2: World) -> None:
    """Ids, ranks and scores are the same to the bit: encoded now, or all from the overlay. So are checks."""
    skipfill("encode", "v2", "gallery_items.parquet", "-o", "reindexed.parquet")
    skipfill("gallery", "add", "reindexed", "reindexed.parquet", "--space", "v2")
    skipfill("search", "reindexed", "--items", "heldout.parquet", "-k", ROWS, "-o", "wanted.parquet")
    skipfill("swap", "things", "v2", "--rerank", ROWS, "--without-check", "a comparison")
    asked = ["search", "things", "--items", "heldout.parquet", "-k", ROWS]
    skipfill(*asked, *ITEMS, "--keep", "-o", "encoded.parquet")
    skipfill(*asked, "-o", "kept.parquet")
    assert hits(Path("encoded.parquet")) == hits(Path("kept.parquet")) == hits(Path("wanted.parquet"))

    skipfill("rollback", "things")
    given = ["--items", "heldout.parquet"]
    whole = skipfill("check", "things", "v2", *given, *ITEMS, "--no-save", "--json", expect=None).document["check"]
    again = ["check", "things", "v2", *given, "--rerank", ROWS, "--no-save", "--json"]
    ranked = skipfill(*again, expect=None).document["check"]
    assert means(ranked, "new/old") == means(whole, "new/new")
    measured = ranked["rerank"]
    assert (measured["from_overlay"], measured["encoded"], measured["touched"]) == (ROWS, 0, ROWS)


def test_without_new_vectors_the_old_ranking_stands(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("swap", "things", "v1", "--without-check", "the old model itself", expect=None)
    asked = ["search", "things", "--items", "heldout.parquet", "-k", 30]
    skipfill(*asked, "-o", "old.parquet")
    skipfill("swap", "things", "v2", "--rerank", 25, "--without-check", "a comparison")
    skipfill(*asked, "-o", "now.parquet")
    assert hits(Path("now.parquet")) == hits(Path("old.parquet"))
    assert set(pq.read_table("now.parquet").column("scored_by").to_pylist()) == {"v1"}
    skipfill("rollback", "things")
    given = ["--items", "heldout.parquet", "--rerank", 25, "--no-save", "--json"]
    table = pq.read_table("heldout.parquet")
    pq.write_table(table.set_column(0, "id", pa.array([f"q{row}" for row in range(len(table))])), "heldout.parquet")
    check = skipfill("check", "things", "v2", *given, expect=None).document["check"]
    assert means(check, "new/old") == means(check, "old/old")
    assert check["rerank"]["without_vector"] == check["rerank"]["touched"]


def means(check: dict[str, Any], pair: str) -> dict[str, float]:
    """The means of a pair over all queries, by metric."""
    return {one["metric"]: one["value"]["mean"] for one in check["slices"][0]["cells"] if one["pair"] == pair}


def test_several_numbers_are_tried_from_the_largest_down(skipfill: Skipfill, allowed: World) -> None:
    given = ["--items", "known.parquet", *ITEMS]
    check = skipfill("check", "things", "v2", *given, "--rerank", "1,100", "--rerank", 50, "--json").document["check"]
    tried = check["rerank"]["tried"]
    assert [one["k"] for one in tried] == [100, 50, 1]
    assert [one["verdict"] for one in tried[:2]] == ["pass", "pass"]
    assert tried[2]["verdict"] != "pass", "one candidate cannot be re-ordered, and so cannot be better"
    assert check["rerank"]["way"]["k"] == 50
    assert tried[2]["change"] == 0
    for k, code in ((100, 0), (50, 0), (1, 1)):
        skipfill("swap", "things", "v2", "--rerank", k, "--dry-run", expect=code)
    shown = skipfill("check", "things", "v2", *given, "--rerank", "1,100,50", "--no-save", "--html", "page.html").out
    assert "until one does not pass" in shown
    assert "Re-ranking" in Path("page.html").read_text()


def test_kept_rows_are_not_encoded_again_unless_their_item_changed(skipfill: Skipfill, with_v2: World) -> None:
    given = ["check", "things", "v2", "--items", "known.parquet", "--rerank", 20, "--no-save", "--json"]
    first = skipfill(*given, *ITEMS, "--keep", expect=None).document["check"]["rerank"]
    assert first["encoded"] == first["touched"] > 100
    assert first["kept"]
    assert first["warm"] == first["cold"] == first["touched"] / 144
    second = skipfill(*given, *ITEMS, expect=None).document["check"]["rerank"]
    assert (second["encoded"], second["from_overlay"], second["warm"]) == (0, first["touched"], 0)
    assert not second["needs_overlay"]
    table = pq.read_table("gallery_items.parquet")
    vectors = np.stack(table.column("vector").to_pylist())
    vectors[:60] += 1
    changed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(table.set_column(table.schema.get_field_index("vector"), "vector", changed), "changed.parquet")
    third = skipfill(*given, "--gallery-items", "changed.parquet", expect=None).document["check"]["rerank"]
    assert 0 < third["encoded"] <= 60
    assert third["encoded"] + third["from_overlay"] == first["touched"]


def test_a_check_that_relied_on_an_overlay_binds_the_swap_to_it(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    given = ["check", "things", "v2", "--items", "known.parquet"]
    skipfill(*given, *ITEMS, "--rerank", ROWS, "--keep", "--no-save", expect=None)
    check = skipfill(*given, "--rerank", 50, "--json").document["check"]["rerank"]
    assert check["needs_overlay"]
    assert check["overlay_rows"] == ROWS
    shown = skipfill("plan", "things", "v2", "--rerank", 50).out
    assert "overlay" in shown
    skipfill("swap", "things", "v2", "--rerank", 50, "--dry-run")
    last = skipfill("overlay", "show", "things", "v2", "--json").document["number"]
    skipfill("overlay", "drop", "things", "v2")
    skipfill("overlay", "rollback", "things", "v2", "--to", last)  # every row is there again, but others might be
    assert f"taken back in version {last + 2}" in skipfill("plan", "things", "v2", "--rerank", 50, expect=1).out
    assert "overlay" in skipfill("swap", "things", "v2", "--rerank", 50, expect=None).err
    for file in Path(".skipfill/overlays").rglob("versions/*.json"):
        file.unlink()
    assert "none" in skipfill("plan", "things", "v2", "--rerank", 50, expect=1).out


def test_other_files_keep_their_formats(skipfill: Skipfill, allowed: World) -> None:
    """Older releases read everything but what re-ranks."""
    skipfill("check", "things", "v2", "--items", "known.parquet")
    store = Path(".skipfill")
    reports = [json.loads(file.read_text()) for file in store.glob("checks/things/*/report.json")]
    assert sorted((one["format"], "rerank" in one) for one in reports) == [(5, False), (6, True)]
    skipfill("swap", "things", "v2")
    skipfill("rollback", "things")
    skipfill("swap", "things", "v2", "--rerank", 50)
    versions = [json.loads(file.read_text()) for file in sorted(store.glob("galleries/things/versions/*.json"))]
    assert [one["format"] for one in versions] == [1, 2, 2, 2, 4]
    assert ["rerank" in one["release"] for one in versions] == [False, False, False, False, True]
    assert json.loads((store / "galleries/things/release.json").read_text())["format"] == 4


def test_a_check_after_the_swap_compares_with_the_released_re_ranking(skipfill: Skipfill, allowed: World) -> None:
    """Also where the same model without re-ranking is checked: it is another way to answer."""
    skipfill("swap", "things", "v2", "--rerank", 50)
    given = ["check", "things", "v2", "--items", "known.parquet", *ITEMS, "--no-save", "--json"]
    by_view = skipfill(*given, expect=None).document["check"]
    assert means(by_view, "released/old")
    again = skipfill(*given, "--rerank", 50, expect=None).document["check"]
    assert not means(again, "released/old")
    assert means(by_view, "released/old") == means(again, "new/old")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rerank", "10", "--threshold", "0.5"], "--threshold"),
        (["--rerank", "10", "--index", "hnsw"], "--index"),
        (["--rerank", "10", "--metric", "TAR@FAR=0.01"], "a metric of ranks"),
        (["--rerank", "0"], "at least 1"),
        (["--rerank", "ten"], "whole numbers"),
        (["--rerank", "5", "--candidates", "new"], "kind of candidates"),
        (["--keep"], "re-ranking too"),
        (["--candidates", "view"], "re-ranking too"),
    ],
)
def test_what_makes_no_sense_is_refused(skipfill: Skipfill, with_v2: World, options: list[str], said: str) -> None:
    assert said in skipfill("check", "things", "v2", "--items", "known.parquet", *options, expect=2).err


def test_the_gallerys_own_model_re_ranks_nothing(skipfill: Skipfill, with_v2: World) -> None:
    refused = skipfill("search", "things", "--items", "heldout.parquet", "--rerank", 10, expect=2).err
    assert "a newer model than v1" in refused
    skipfill("swap", "things", "v2", "--without-check", "try")
    assert "a newer model" in skipfill("swap", "things", "v1", "--rerank", 10, expect=2).err
    for option in (["--keep"], ["--candidates", "old"], list(ITEMS)):
        assert "re-ranking too" in skipfill("search", "things", "--items", "heldout.parquet", *option, expect=2).err


def test_candidates_by_the_view_need_no_old_model(skipfill: Skipfill, with_v2: World) -> None:
    """Queries that are rows have stored vectors for a check, but a service's queries have none."""
    shutil.rmtree(Path(".skipfill/models/v1"))
    given = ["check", "things", "v2", "--items", "gallery_items.parquet", "--rerank", 30, "--no-save", "--json"]
    assert "--candidates view" in skipfill(*given, "--candidates", "old", expect=2).err


def test_brought_old_vectors_find_what_the_old_model_finds(skipfill: Skipfill, allowed: World) -> None:
    skipfill("swap", "things", "v2", "--rerank", 50)
    skipfill("encode", "v1", "heldout.parquet", "-o", "old.parquet")
    table = pq.read_table("heldout.parquet").append_column("old", pq.read_table("old.parquet").column("vector"))
    pq.write_table(table, "both.parquet")
    asked = ["search", "things", "-k", 20, *ITEMS]
    skipfill(*asked, "--items", "heldout.parquet", "-o", "encoded.parquet")
    shutil.rmtree(Path(".skipfill/models/v1"))
    assert "--candidates view" in skipfill(*asked, "--items", "heldout.parquet", expect=2).err
    skipfill(*asked, "--items", "both.parquet", "--input", "vector", "--old-vector", "old", "-o", "brought.parquet")
    encoded, brought = (pq.read_table(file) for file in ("encoded.parquet", "brought.parquet"))
    assert brought.column("id").equals(encoded.column("id"))
    skipfill(*asked, "--items", "heldout.parquet", "--candidates", "view", "-o", "view.parquet")
    assert not pq.read_table("view.parquet").equals(encoded)
