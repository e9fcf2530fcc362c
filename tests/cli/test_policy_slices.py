"""A slice of the policy that no check can evaluate is told when it is set, and can be removed."""

from __future__ import annotations

import re

import pyarrow.parquet as pq
import pytest

from skipfill.store.galleries.log import latest
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World


@pytest.mark.parametrize("wrong", ["lable = ", "label = 'x'; DROP TABLE query", "gallery.lable = 'x'"])
def test_what_no_check_can_evaluate_is_refused(skipfill: Skipfill, with_v2: World, wrong: str) -> None:
    assert "slice " in skipfill("policy", "things", "--slice", wrong, expect=2).err
    assert latest(open_store(with_v2.folder / ".skipfill"), "things").number == 1


def test_a_slice_of_columns_that_only_queries_have_is_noted_and_can_be_removed(
    skipfill: Skipfill, with_v2: World
) -> None:
    assert "Note" not in skipfill("policy", "things", "--slice", "label = 'class-01'", "--slice", "relevant > 3").err
    kept, typo = ("label = 'class-01'", "relevant > 3"), "lable = 'class-01'"
    told = skipfill("policy", "things", "--slice", typo, "--slice", kept[0]).err
    assert latest(open_store(with_v2.folder / ".skipfill"), "things").policy_in_force.slices == (*kept, typo)
    assert "needs a column that things does not have: every check needs it in its queries" in told
    assert "relevant > 3" not in told.split("Next:")[0]
    by = latest(open_store(with_v2.folder / ".skipfill"), "things").by
    skipfill("policy", "things", "--margin", 0.05)
    refused = skipfill("check", "things", "v2", "--items", with_v2.known, expect=2).err
    assert f"This slice is in the policy since {by} added it in version 3." in refused
    assert "skipfill policy things --without-slice 'lable = '\"'\"'class-01'\"'\"''" in refused
    (columns,) = re.findall(
        r"Columns of the queries: (.*?)\. Columns of the gallery: (.*?)\. This", " ".join(refused.split())
    )
    assert [set(one.split(", ")) for one in columns] == [
        set(pq.read_schema(with_v2.known).names),
        set(pq.read_schema(with_v2.folder / "gallery.parquet").names) - {"vector"},
    ]
    assert "The gallery has id, label." in told
    assert "_place" not in refused + told
    assert "_id" not in refused + told
    skipfill("policy", "things", "--without-slice", typo)
    assert latest(open_store(with_v2.folder / ".skipfill"), "things").policy_in_force.slices == kept
    skipfill("check", "things", "v2", "--items", with_v2.known, expect=None)
    assert "nearest" in skipfill("policy", "things", "--without-slice", typo, expect=2).err
    assert "expected a change of the policy too" in skipfill("policy", "things", "--reason", "x", expect=2).err


def test_a_slice_that_no_row_meets_is_noted(skipfill: Skipfill, with_v2: World) -> None:
    told = skipfill("policy", "things", "--slice", "label = 'class-1'", "--slice", "label = 'class-01'").err
    assert "Note: slice \"label = 'class-1'\" matches none of the" in told
    assert "skipfill policy things --without-slice" in told
    assert told.count("Note:") == 1


def test_a_share_of_flips_is_never_below_0(skipfill: Skipfill, with_v2: World) -> None:
    done = skipfill(
        "check", "things", "v2", "--items", with_v2.heldout, "--flip-budget", 0.05, "--no-save", expect=None
    )
    shares = re.findall(r"\((-?[0-9.]+)%, (-?[0-9.]+)% to (-?[0-9.]+)%\)", done.out)
    assert shares
    assert all(float(number) >= 0 and not number.startswith("-") for share in shares for number in share)


def test_a_pass_that_was_not_saved_says_how_to_save_it(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    told = skipfill(
        "check", "things", "v2", "--items", with_v2.known, "--gallery-items", with_v2.items, "--no-save"
    ).err
    assert (
        "Not saved, so it allows no swap. Run it again without --no-save: skipfill check things v2 --items "
        f"{with_v2.known} --gallery-items {with_v2.items}\n" in told
    )


def test_a_check_that_could_not_be_made_is_no_fail(
    skipfill: Skipfill, with_v2: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = with_v2.folder / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    skipfill("check", "things", "v2", "--items", "none.parquet", "--github", expect=2)
    assert "no check was made" in summary.read_text()
    assert "fail" not in summary.read_text()
