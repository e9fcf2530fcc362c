"""Next commands can be pasted: they name the store and the files as a shell needs them, and they run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.main import get_command

from skipfill.cli.app import app
from skipfill.cli.terminal.next_command import WITH_STORE, name_store, with_store
from skipfill.store.galleries.log import latest
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World
from tests.store.stores import saved_check, store_with

STORE = "it's the shop's"
PLACES = {
    "HELDOUT.parquet": "heldout.parquet",
    "MORE.parquet": "gallery_items.parquet",
    "ITEMS.parquet": "items.parquet",
    "QUERIES.parquet": "heldout.parquet",
    "GALLERY.parquet": "by v1.parquet",
    "FILE.parquet": "by v1.parquet",
    "FILES...": "again.parquet",
}
"""Words of next commands that stand for files."""


def commands(told: str) -> list[list[str]]:
    """The commands in what a command said, without `skipfill`."""
    parts = re.findall(r"skipfill (.+?)(?=\. |[;,]? or |, or |\n|$|\. Undo)", told)
    return [shlex.split(part.rstrip(".")) for part in parts]


@pytest.fixture
def shop(skipfill: Skipfill, registered: World) -> World:
    """A store in a folder with spaces and quotes, outside of which no store is found."""
    shutil.rmtree(".skipfill")
    return registered


def test_the_life_of_a_store_by_its_next_commands(skipfill: Skipfill, shop: World) -> None:
    """Every proposed command runs as it was printed, with files for its placeholders."""
    fills = {**PLACES, "NAME": "things", "GALLERY": "things", "MODEL": "v2", "VERSION": "1"}
    ran: list[str] = []

    def follow(told: str, *, expect: tuple[int, ...] = (0,), more: tuple[object, ...] = ()) -> str:
        """Run the first proposed command; return what it said."""
        words = [fills.get(word, word) for word in commands(told)[0]]
        assert words[words.index("--store") + 1] == STORE, told
        ran.append(words[0])
        done = skipfill(*words, *more, expect=None)
        assert done.code in expect, (words, done)
        return done.err

    told = skipfill("init", "--store", STORE).err
    assert len(commands(told)) == 2
    fills["ITEMS.parquet"] = "old_items.parquet"
    told = follow(told, more=("--dim", 8, "--epochs", 20, "--batch", 32))  # train v1
    fills["ITEMS.parquet"] = "gallery_items.parquet"
    told = follow(told)  # encode v1
    told = follow(told)  # gallery add
    fills["ITEMS.parquet"] = "items.parquet"
    told = follow(told, more=("--epochs", 60, "--align", shop.unlabelled))  # train v2
    fills["HELDOUT.parquet"] = "known.parquet"
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen", "--store", STORE)
    planned = skipfill("plan", "things", "v2", "--store", STORE, "-o", "p q.json", expect=1).err
    told = follow(planned)  # check
    checked = told
    told = skipfill("plan", "things", "v2", "--store", STORE).err
    assert commands(told)[0][:3] == commands(checked)[0][:3]  # swap things v2
    told = skipfill("plan", "things", "v2", "--store", STORE, "-o", "r s.json").err
    told = follow(told)  # swap --plan
    assert latest(open_store(Path(STORE)), "things").release.model == "v2"
    search, undo = commands(told)
    skipfill(*[fills.get(word, word) for word in search])
    told = skipfill(*undo).err
    follow(told)  # rollback --to
    assert latest(open_store(Path(STORE)), "things").release.model == "v2"
    assert ran == ["train", "encode", "gallery", "train", "check", "swap", "rollback"]


def test_other_next_commands_run(skipfill: Skipfill, shop: World) -> None:
    skipfill("init", "--store", STORE)
    skipfill("train", "v1", "--items", shop.old_items, "--dim", 8, "--epochs", 5, "--store", STORE)
    skipfill("encode", "v1", shop.gallery_items, "-o", "g.parquet", "--store", STORE)
    skipfill("gallery", "add", "things", "g.parquet", "--space", "v1", "--store", STORE)
    told = skipfill("encode", "v1", shop.heldout, "-o", "que ries.parquet", "--store", STORE).err
    search, append = commands(told)
    assert search[0] == "search"
    skipfill(*search)
    skipfill(*append, "--dry-run")
    told = skipfill("model", "export", "v1", "-o", "v 1.skipfill", "--store", STORE).err
    skipfill("init", "--store", "other")
    skipfill(*["other" if word == "OTHER" else word for word in commands(told)[0]])
    told = skipfill("gallery", "verify", "things", "--store", STORE).err
    skipfill(*commands(told)[0])
    (Path(STORE) / "galleries/things/files/abc.json").write_text("[]")
    told = skipfill("prune", "--all-ages", "--store", STORE).err
    skipfill(*commands(told)[0])
    assert not (Path(STORE) / "galleries/things/files/abc.json").exists()


def test_columns_that_training_needed_are_in_the_next_command(skipfill: Skipfill, registered: World) -> None:
    names = {"id": "key", "vector": "emb", "label": "kind"}
    for file in (registered.items, registered.heldout):
        table = pq.read_table(file)
        pq.write_table(table.rename_columns([names[name] for name in table.column_names]), file)
    told = skipfill(
        "train",
        "v2",
        "--items",
        registered.items,
        "--gallery",
        "things",
        "--id",
        "key",
        "--label",
        "kind",
        "--epochs",
        1,
    ).err
    (check,) = commands(told)
    words = ["heldout.parquet" if word == "HELDOUT.parquet" else word for word in check]
    assert words[-6:] == ["--id", "key", "--label", "kind", "--input", "emb"]
    assert skipfill(*words, expect=None).code in (0, 1, 3)


def test_the_advice_of_an_error_names_the_store(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    (tmp_path / ".skipfill").rename(STORE)
    for command in (
        ["swap", "g", "v2"],
        ["rollback", "g"],
        ["status", "h"],
        ["search", "g", "--items", "x.parquet"],
        ["report", "g"],
    ):
        told = skipfill(*command, "--store", STORE, expect=None).err
        for words in commands(told):
            assert words[words.index("--store") + 1] == STORE, told
    lost = skipfill("status", "--store", "no where", expect=2).err
    assert commands(lost.split("with --store. ")[1]) == [["init", "--store", "no where"]]


def test_the_commands_that_take_a_store_are_these() -> None:
    taking = set()

    def collect(words: str, command: Any) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            collect(f"{words} {name}".strip(), inner)
        if any("--store" in one.opts for one in command.params):
            taking.add(words)

    collect("", get_command(app))
    assert taking == set(WITH_STORE)


def test_only_commands_that_take_a_store_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    name_store("a b")
    try:
        text = "See: skipfill methods. Install skipfill again. `skipfill encode` wrote it: skipfill gallery show g"
        assert with_store(text) == text.replace("gallery show g", "gallery show --store 'a b' g")
        assert with_store("skipfill init --store x") == "skipfill init --store x"
        monkeypatch.setenv("SKIPFILL_STORE", "a b")
        name_store("a b")  # the environment names it for the next command, too
        assert with_store(text) == text
    finally:
        name_store(None)


def test_report_without_an_id_shows_the_newest_check(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    told = skipfill("report", "g", expect=2).err
    assert "gallery g: expected a check on it, found none. Run: skipfill check g MODEL" in told
    saved_check(objects, "v2", created="2026-01-03")
    second = saved_check(objects, "v2", created="2026-01-02")  # by a clock that is slow
    other = saved_check(objects, "v3", created="2026-01-02T12")
    assert skipfill("report", "g", "v2", "--json").document["check"]["id"] == second.id
    assert skipfill("report", "g", "--json").document["check"]["id"] == other.id
    assert skipfill("report", "g", second.id, "--json").document["check"]["id"] == second.id
    later = saved_check(objects, "v2", version=2, created="2026-01-01")
    assert skipfill("report", "g", "--json").document["check"]["id"] == later.id


def test_the_only_column_of_vectors_is_the_input(skipfill: Skipfill, registered: World) -> None:
    table = pq.read_table(registered.heldout)
    renamed = table.rename_columns(["id", "embedding", "label"])
    pq.write_table(renamed, "items.parquet")
    told = skipfill("encode", "v1", "items.parquet", "-o", "a.parquet").err
    assert "Input: column embedding, the only column of vectors\n" in told
    assert "Input" not in skipfill("encode", "v1", "items.parquet", "-o", "b.parquet", "--quiet").err
    skipfill("encode", "v1", registered.heldout, "-o", "c.parquet")
    vectors = [np.stack(pq.read_table(f"{name}.parquet")["vector"].to_pylist()) for name in "abc"]
    np.testing.assert_array_equal(vectors[0], vectors[2])
    for command in (["search", "things", "--items"], ["plan", "things", "v1", "--items"]):
        assert "a column 'image'" not in skipfill(*command, "items.parquet", expect=None).err
    pq.write_table(renamed.append_column("second", renamed["embedding"]), "two.parquet")
    assert "expected a column 'image'" in skipfill("encode", "v1", "two.parquet", "-o", "d.parquet", expect=2).err
    # The old model's vectors are no input of the new one.
    old = ["check", "things", "v1", "--items", "items.parquet", "--old-vector", "embedding"]
    assert "expected a column 'image'" in skipfill(*old, expect=2).err
