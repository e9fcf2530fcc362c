"""Gallery rows of classes that no item has: training says how many there are, and a failed check what helps."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skipfill.compat.training.data.coverage import Coverage, CoverageCounter
from tests.conftest import Skipfill, World

SHORT = ("--gallery", "things", "--epochs", 2)


def counted(gallery: pa.Table, items: pa.Table) -> dict[str, int]:
    """The numbers of a training without a sample, one row after the other."""
    class_of = dict(zip(items["id"].to_pylist(), items["label"].to_pylist(), strict=True))
    numbers = {"rows": len(gallery), "unseen": 0, "unknown": 0, "sample": 0}
    for row in gallery.select([name for name in ("id", "label") if name in gallery.column_names]).to_pylist():
        if row.get("label") is not None:
            numbers["unseen"] += row["label"] not in class_of.values()
        else:
            numbers["unknown"] += row["id"] not in class_of
    return numbers


def test_training_says_at_once_which_share_of_the_rows_is_of_unseen_classes(
    skipfill: Skipfill, registered: World
) -> None:
    done = skipfill("train", "v2", "--items", registered.items, *SHORT)
    note = next(line for line in done.err.splitlines() if line.startswith("Note: "))
    assert "96 of 384 rows of gallery things (25%) belong to classes that no item has." in note
    assert "likely to get worse" in note
    assert "--align SAMPLE.parquet" in note
    assert "blend v2 with v1" in note
    assert done.err.index(note) < done.err.index("Next: ")


def test_the_document_and_the_card_have_the_same(skipfill: Skipfill, registered: World) -> None:
    document = skipfill("train", "v2", "--items", registered.items, *SHORT, "--json").document
    gallery, items = pq.read_table("gallery.parquet"), pq.read_table(registered.items)
    assert document["model"]["training"]["coverage"] == counted(gallery, items)
    (note,) = document["notes"]
    assert note.startswith("96 of 384 rows of gallery things (25%)")
    with_sample = skipfill(
        "train", "v3", "--items", registered.items, "--align", registered.unlabelled, *SHORT, "--json"
    ).document
    assert with_sample["model"]["training"]["coverage"]["sample"] == 96
    assert "--align gives a sample of 96 rows" in with_sample["notes"][0]
    assert "worse" not in with_sample["notes"][0]


def test_nothing_is_said_where_items_have_every_class_or_no_view_is_trained(
    skipfill: Skipfill, registered: World
) -> None:
    everything = skipfill("train", "v2", "--items", registered.gallery_items, *SHORT, "--json").document
    assert everything["model"]["training"]["coverage"]["unseen"] == 0
    assert everything["notes"] == []
    alone = skipfill("train", "v3", "--items", registered.items, *SHORT, "--method", "independent", "--json").document
    assert alone["notes"] == []


def test_rows_without_labels_go_by_the_ids_of_items(skipfill: Skipfill, registered: World) -> None:
    """A gallery without labels, and one with some."""
    gallery, items = pq.read_table("gallery.parquet"), pq.read_table(registered.items)
    pq.write_table(gallery.drop_columns(["label"]), "bare.parquet")
    half = pc.if_else(pa.array(np.arange(len(gallery)) % 2 == 0), gallery["label"], pa.scalar(None, pa.string()))
    some = gallery.set_column(gallery.column_names.index("label"), "label", half)
    pq.write_table(some, "some.parquet")
    for name, rows in (("bare", gallery.drop_columns(["label"])), ("some", some)):
        skipfill("gallery", "add", name, f"{name}.parquet", "--space", "v1")
        command = ["train", f"by-{name}", "--items", registered.items, "--gallery", name, "--epochs", 1, "--json"]
        document = skipfill(*command).document
        assert document["model"]["training"]["coverage"] == counted(rows, items)
        unknown = document["model"]["training"]["coverage"]["unknown"]
        assert f"{unknown} of 384 rows of gallery {name}" in document["notes"][0]
        assert "have no label, and no item has their id" in document["notes"][0]


def test_small_shares_are_not_rounded_to_none() -> None:
    from skipfill.cli.terminal.gallery_coverage import coverage_note

    assert "1 of 1,000 rows of gallery g (less than 1%)" in coverage_note(Coverage(1_000, 1, 0), "g", "v2", "")
    assert "blend" not in coverage_note(Coverage(1_000, 1, 0), "g", "v2", "")
    assert coverage_note(Coverage(1_000, 0, 0), "g", "v2", "v1") == ""


def test_blocks_add_up() -> None:
    counter = CoverageCounter()
    counter.add(pa.array(["a", None, "b", None]), np.array([0, 1, -1, -1]))
    counter.add(None, np.array([-1, 3]))
    assert counter.result(2) == Coverage(rows=6, unseen=1, unknown=2, sample=2)


def test_a_check_that_fails_on_unseen_classes_names_commands_that_help(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 60)
    policy = ("--metric", "mAP", "--margin", 0, "--confidence", 0.9)
    measured = ("--items", registered.heldout, *policy, "--json")
    done = skipfill("check", "things", "v2", *measured, expect=1)
    failed = [one["name"] for one in done.document["check"]["slices"] if one["verdict"] == "fail"]
    assert failed == ["unseen"]
    assert done.document["check"]["why"][-1] == (
        "unseen: to keep these queries from getting worse, train with a sample of the gallery's items, "
        "labels not needed, or blend v2 with v1"
    )
    train, blend = (
        shlex.split(re.sub("^(Next|Or): skipfill ", "", line))
        for line in done.err.splitlines()
        if line.startswith(("Next: ", "Or: "))
    )
    fills = {"NAME": "v3", "ITEMS.parquet": registered.items, "SAMPLE.parquet": registered.unlabelled}
    skipfill(*(fills.get(word, word) for word in train), "--epochs", 1)
    skipfill(*blend)
    again = skipfill("check", "things", "v2-blend", *measured, expect=None).document
    gone = {one["name"]: one["change"]["mAP"]["mean"] for one in done.document["check"]["slices"]}
    kept = {one["name"]: one["change"]["mAP"]["mean"] for one in again["check"]["slices"]}
    assert kept["unseen"] > gone["unseen"]
    assert not any("blend v2-blend" in line for line in again["check"]["why"])


def test_a_check_that_fails_on_seen_classes_alone_does_not_speak_of_a_sample(
    skipfill: Skipfill, registered: World
) -> None:
    skipfill("train", "v2", "--items", registered.gallery_items, *SHORT)
    done = skipfill("check", "things", "v2", "--items", registered.heldout, "--flip-budget", 0.01, expect=1)
    assert "--align" not in done.err
    assert "sample" not in done.out
