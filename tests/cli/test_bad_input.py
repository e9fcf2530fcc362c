"""Bad input: one line that names what was expected, exit 2, and nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.cli.error_messages import sentence
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import open_items
from skipfill.store.storage.output_file import new_file
from tests import warm
from tests.conftest import Skipfill, World, tree, write_vectors

GOOD = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


def one_line(err: str) -> str:
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in err
    return lines[0]


def spoiled(row: int, value: float) -> np.ndarray:
    vectors = GOOD.copy()
    vectors[row] = vectors[row] * 0 if value == 0 else value
    return vectors


def write(path: Path, **columns: object) -> None:
    pq.write_table(pa.table(columns), path)


def missing(path: Path) -> None:
    pass


def not_parquet(path: Path) -> None:
    path.write_text("id,vector\n1,2\n")


def truncated(path: Path) -> None:
    write_vectors(path, GOOD)
    path.write_bytes(path.read_bytes()[:-200])


def damaged_inside(path: Path) -> None:
    write_vectors(path, np.random.default_rng(0).normal(size=(5_000, 4)))
    data = bytearray(path.read_bytes())
    data[100:40_000] = b"\xff" * 39_900
    path.write_bytes(data)


def damaged_lists(path: Path) -> None:
    """Vectors whose first row tells how long they are."""
    write(path, id=list(range(5_000)), vector=np.random.default_rng(0).normal(size=(5_000, 4)).tolist())
    data = bytearray(path.read_bytes())
    data[4:-4_000] = b"\xff" * (len(data) - 4_004)
    path.write_bytes(data)


def ragged(path: Path) -> None:
    write(path, id=["a", "b", "c"], vector=[[1.0, 2.0], [1.0, 2.0], [1.0]])


GALLERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (missing, "no such file"),
    "not Parquet": (not_parquet, "expected a readable Parquet file"),
    "truncated": (truncated, "expected a readable Parquet file"),
    "damaged inside": (damaged_inside, "expected a readable Parquet file"),
    "damaged inside, lists": (damaged_lists, "expected a readable Parquet file"),
    "no id column": (lambda path: write(path, key=["a"], vector=[[1.0]]), "expected a column 'id', found columns key"),
    "no vector column": (lambda path: write(path, id=["a"], v=[[1.0]]), "expected a column 'vector'"),
    "wrong vector type": (lambda path: write(path, id=["a"], vector=["x"]), "expected lists of float"),
    "wrong id type": (lambda path: write(path, id=[1.5], vector=[[1.0]]), "expected ids of an integer or string"),
    "no rows": (lambda path: write_vectors(path, GOOD[:0], np.arange(0)), "expected at least one row"),
    "ragged rows": (ragged, "row 2: expected 2 numbers, as in the other rows, found 1"),
    "a NULL vector": (
        lambda path: write(path, id=["a", "b"], vector=[[1.0], None]),
        ", row 1: expected a vector, found NULL",
    ),
    "a NULL coordinate": (lambda path: write(path, id=["a"], vector=[[1.0, None]]), "found NULL"),
    "NaN": (lambda path: write_vectors(path, spoiled(7, np.nan)), "row 7: expected finite numbers, found nan"),
    "infinity": (
        lambda path: write_vectors(path, spoiled(3, np.inf)),
        "row 3: expected finite numbers, found inf",
    ),
    "a zero vector": (
        lambda path: write_vectors(path, spoiled(19, 0)),
        "row 19: expected a vector that is not all zeros",
    ),
    "duplicate ids": (
        lambda path: write_vectors(path, GOOD, [1, *range(1, 20)]),
        "expected unique ids, found 1 2 times",
    ),
    "a NULL id": (lambda path: write_vectors(path, GOOD, [None, *"abcdefghijklmnopqrs"]), "found 1 NULL ids"),
    "no such label column": (lambda path: write_vectors(path, GOOD), "expected a column 'kind'"),
}


@pytest.mark.parametrize("case", GALLERIES)
def test_a_bad_gallery_is_refused(skipfill: Skipfill, tmp_path: Path, case: str) -> None:
    make, expected = GALLERIES[case]
    skipfill("init")
    make(tmp_path / "bad.parquet")
    before = tree(tmp_path)
    label = ["--label", "kind"] if case == "no such label column" else []
    result = skipfill("gallery", "add", "bad", "bad.parquet", "--space", "s", *label, expect=2)
    line = one_line(result.err)
    assert expected in line
    assert result.out == ""
    assert tree(tmp_path) == before
    document = skipfill("gallery", "add", "bad", "bad.parquet", "--space", "s", *label, "--json", expect=2).document
    assert document["exit_code"] == 2
    assert expected in document["error"]


def test_duplicates_across_files_are_found(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    write_vectors(tmp_path / "a.parquet", GOOD, np.arange(20))
    write_vectors(tmp_path / "b.parquet", GOOD, np.arange(19, 39))
    line = one_line(skipfill("gallery", "add", "two", "a.parquet", "b.parquet", "--space", "s", expect=2).err)
    assert "expected unique ids, found 19 2 times" in line
    assert "Remove the repeated rows from one of the files." in line
    assert "a.parquet" in line
    assert "b.parquet" in line


def test_ids_of_several_files_of_items(tmp_path: Path) -> None:
    write_vectors(tmp_path / "a.parquet", GOOD, np.arange(50, 70))
    first = write_vectors(tmp_path / "b.parquet", GOOD, np.arange(20))
    second = write_vectors(tmp_path / "c.parquet", GOOD, np.arange(19, 39))
    with pytest.raises(BadInput, match="expected unique ids, found 19 2 times") as twice:
        open_items([tmp_path])
    assert twice.value.where == f"{first} and {second}, column id"
    assert sentence(twice.value.hint) == "Remove the repeated rows from one of the files."
    write_vectors(second, GOOD, [None, *range(100, 119)])
    with pytest.raises(BadInput, match="found 1 NULL ids") as null:
        open_items([tmp_path])
    assert null.value.where == f"{second}, column id"


def test_a_mistyped_file_of_items_is_answered_by_the_nearest_name(tmp_path: Path) -> None:
    folder = tmp_path / "a shop"
    folder.mkdir()
    there = f"See which files are there: ls '{folder}'"
    with pytest.raises(BadInput, match="found no such file") as refused:
        open_items([folder / "heldout.parqet"])
    assert refused.value.hint == there
    right = write_vectors(folder / "heldout.parquet", GOOD, np.arange(20))
    with pytest.raises(BadInput, match="found no such file") as refused:
        open_items([folder / "heldout.parqet"])
    assert refused.value.hint == f"Nearest: {right}. {there}"


def test_two_dimensions_in_one_gallery(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    write_vectors(tmp_path / "a.parquet", GOOD)
    write_vectors(tmp_path / "b.parquet", GOOD[:, :3], np.array([f"z{i}" for i in range(20)]))
    line = one_line(skipfill("gallery", "add", "two", "a.parquet", "b.parquet", "--space", "s", expect=2).err)
    assert "expected vectors of dimension 4, found dimension 3" in line


def test_a_gallery_of_another_dimension_than_its_model(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    write_vectors(tmp_path / "g.parquet", GOOD)
    line = one_line(skipfill("gallery", "add", "more", "g.parquet", "--space", "v1", expect=2).err)
    assert "space v1: expected 8 dimensions (those of model v1), found 4 in g.parquet, column vector" in line


def unlabelled(world: World) -> list[object]:
    return ["train", "v2", "--gallery", "things", "--items", world.unlabelled]


def no_overlap(world: World) -> list[object]:
    table = pq.read_table(world.items)
    strange = pa.array([f"other-{i}" for i in range(len(table))])
    pq.write_table(table.set_column(0, "id", strange), world.folder / "strange.parquet")
    return ["train", "v2", "--gallery", "things", "--items", world.folder / "strange.parquet"]


def integer_ids(world: World) -> list[object]:
    table = pq.read_table(world.items)
    pq.write_table(table.set_column(0, "id", pa.array(range(len(table)))), world.folder / "numbers.parquet")
    return ["train", "v2", "--gallery", "things", "--items", world.folder / "numbers.parquet"]


def narrow(world: World) -> list[object]:
    write_vectors(world.folder / "narrow.parquet", GOOD)
    return ["encode", "v1", world.folder / "narrow.parquet", "-o", "out.parquet"]


def images(world: World) -> list[object]:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table({"id": ["a"], "image": pa.array([{"bytes": b"no image", "path": None}], kind), "label": ["x"]}),
        world.folder / "images.parquet",
    )
    return ["train", "v2", "--items", world.folder / "images.parquet"]


def duplicate_items(world: World) -> list[object]:
    table = pq.read_table(world.items)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), world.folder / "twice.parquet")
    return ["train", "v2", "--items", world.folder / "twice.parquet"]


def nan_features(world: World) -> list[object]:
    write_vectors(world.folder / "nan.parquet", spoiled(5, np.nan), labels=["a", "b"] * 10)
    return ["train", "v2", "--items", world.folder / "nan.parquet"]


def texts_for_vectors(world: World) -> list[object]:
    pq.write_table(pa.table({"id": ["i0000"], "vector": ["a text"]}), world.folder / "texts.parquet")
    align = ["--align", world.folder / "texts.parquet"]
    return ["train", "v2", "--items", world.items, "--gallery", "things", *align]


COMMANDS: dict[str, tuple[Callable[[World], list[object]], str]] = {
    "unlabelled items": (unlabelled, "expected a label for every item to train on"),
    "no overlap of ids": (no_overlap, "expected ids that gallery things has, found none"),
    "ids of another type": (integer_ids, "expected ids of type string, as in gallery things, found int64"),
    "items of another dimension": (narrow, "expected features of dimension 16, found dimension 4"),
    "no image in the image column": (images, "expected an image"),
    "duplicate items": (duplicate_items, "expected unique ids"),
    "NaN features": (nan_features, "row 5: expected finite numbers, found nan"),
    "missing items": (lambda world: ["train", "v2", "--items", "nowhere.parquet"], "found no such file"),
    "no usable column": (
        lambda world: ["train", "v2", "--items", world.items, "--input", "text"],
        "expected a column 'text', found columns id, vector, label",
    ),
    "unknown method": (
        lambda world: ["train", "v2", "--items", world.items, "--method", "galery"],
        "expected a known method (nearest: gallery), found 'galery'",
    ),
    "a method without its gallery": (
        lambda world: ["train", "v2", "--items", world.items, "--method", "oca"],
        "expected a gallery to be compatible with",
    ),
    "a teacher without an effect": (
        lambda world: ["train", "v2", "--items", world.items, "--gallery", "things", "--teacher", "v1"],
        "--teacher: expected a method that uses it, found method gallery",
    ),
    "a dimension without an effect": (
        lambda world: ["train", "v2", "--items", world.items, "--gallery", "things", "--dim", "7"],
        "--dim: expected a method that uses it, found method gallery",
    ),
    "unlabelled items of another kind": (
        texts_for_vectors,
        "column vector: expected inputs of the same kind as in the labelled items: vector, found text",
    ),
    "a method without its teacher": (
        lambda world: ["train", "v2", "--items", world.items, "--method", "bt2", "--gallery", "things"],
        "found none. Name one with --teacher MODEL",
    ),
    "a simplex against another dimension": (
        lambda world: ["train", "v2", "--items", world.items, "--method", "simplex", "--gallery", "things"],
        "expected the same simplex: dimension 1023",
    ),
    "a name that is taken": (lambda world: ["train", "v1", "--items", world.items], "expected a name that is free"),
    "unknown model": (
        lambda world: ["encode", "v11", world.items, "-o", "out.parquet"],
        "expected a known model (nearest: v1), found 'v11'",
    ),
    "unknown gallery": (
        lambda world: ["swap", "thing", "v1"],
        "/.skipfill (things), found 'thing'",
    ),
    "unknown gallery in check": (
        lambda world: ["check", "nothing", "v1", "--items", world.heldout],
        "expected a known gallery",
    ),
    "unknown metric": (
        lambda world: ["check", "things", "v1", "--items", world.heldout, "--metric", "map"],
        "expected a known metric (nearest: CMC@K, MRR",
    ),
    "a path for a gallery": (lambda world: ["status", "--store", "../../etc"], "expected a skipfill store"),
    "a model name that leaves the store": (
        lambda world: ["train", "../v2", "--items", world.items],
        "no '/', found '../v2'",
    ),
    "a gallery name that leaves the store": (
        lambda world: ["gallery", "add", "../../x", "gallery.parquet", "--space", "v1"],
        "no '/', found '../../x'",
    ),
    "a space name that leaves the store": (
        lambda world: ["gallery", "add", "x", "gallery.parquet", "--space", "../v1"],
        "no '/', found '../v1'",
    ),
    "a gallery to search that leaves the store": (
        lambda world: ["search", "../things", "--items", world.heldout],
        "no '/', found '../things'",
    ),
    "an output that exists": (
        lambda world: ["encode", "v1", world.items, "-o", "gallery.parquet"],
        "expected a file that does not exist yet",
    ),
    "hits where there is a file, known before the search": (
        lambda world: ["search", "things", "--vectors", world.heldout, "-o", "gallery.parquet"],
        "expected a file that does not exist yet",
    ),
    "hits where no folder is": (
        lambda world: ["search", "things", "--items", world.heldout, "-o", "nowhere/hits.parquet"],
        "expected a folder that can be written to",
    ),
    "items and vectors at once": (
        lambda world: ["search", "things", "--items", world.heldout, "--vectors", world.heldout],
        "expected either --items or --vectors",
    ),
    "query vectors of another dimension": (
        lambda world: ["search", "things", "--vectors", world.heldout],
        "expected vectors of dimension 8, found dimension 16",
    ),
    "no labels in the check": (
        lambda world: ["check", "things", "v1", "--items", world.unlabelled],
        "expected labels, to know which rows are relevant",
    ),
    "nothing to roll back": (lambda world: ["rollback", "things"], "expected a swap in force"),
    "a path that is too long": (lambda world: ["status", "--store", "x" * 5_000], "File name too long"),
    "an unknown option": (lambda world: ["status", "--jsn"], "--jsn"),
    "an unknown command": (lambda world: ["serch"], "serch"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_bad_arguments_are_refused(skipfill: Skipfill, registered: World, tmp_path: Path, case: str) -> None:
    make, expected = COMMANDS[case]
    arguments = make(registered)
    before = tree(tmp_path)
    line = one_line(skipfill(*arguments, expect=2).err)
    assert expected in line
    assert tree(tmp_path) == before


def test_a_folder_that_is_no_store(skipfill: Skipfill, tmp_path: Path) -> None:
    assert "skipfill init" in one_line(skipfill("status", expect=2).err)
    (tmp_path / "plain").mkdir()
    assert "expected a skipfill store" in one_line(skipfill("status", "--store", "plain", expect=2).err)
    assert tree(tmp_path) == {}


def test_a_store_of_a_newer_release(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    (tmp_path / ".skipfill" / "store.json").write_text(json.dumps({"format": 99}))
    assert "Upgrade skipfill" in one_line(skipfill("status", expect=2).err)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_store_that_no_path_can_name(skipfill: Skipfill, name: str) -> None:
    assert "store: expected a folder, or a URL" in one_line(skipfill("status", "--store", name, expect=2).err)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that every user may look into: any start of pytest closes those above `tmp_path` to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="gives up root's rights as Linux does")
def test_a_read_only_folder(skipfill: Skipfill, registered: World, tmp_path: Path, open_folder: Path) -> None:
    """As a user without rights: writing commands say so, reading commands work."""

    def as_nobody(*arguments: str, code: str = "main()") -> subprocess.CompletedProcess[str]:
        drop = "os.setgroups([]); os.setgid(65534); os.setuid(65534); " if os.geteuid() == 0 else ""
        code = f"import os, sys; {drop}from skipfill.cli.app import main, run; {code}"
        return warm.run(code, arguments, cwd=open_folder, timeout=120)

    skipfill("train", "v2", "--gallery", "things", "--items", registered.items, "--epochs", 1, "--batch", 32)
    measured = skipfill("check", "things", "v2", "--items", registered.heldout, "--json", expect=None).document
    check = measured["check"]["id"]
    shutil.copytree(tmp_path, open_folder, dirs_exist_ok=True)
    for folder in [open_folder, *open_folder.rglob("*")]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    before = tree(open_folder)
    try:
        if as_nobody("--help").returncode:
            pytest.skip("another user cannot run this Python")
        for arguments in (
            ["policy", "things", "--margin", "0.01"],
            ["gallery", "add", "more", "gallery.parquet", "--space", "other"],
            ["encode", "v1", "items.parquet", "-o", "out.parquet"],
            ["init", "--store", "inner/store"],
        ):
            done = as_nobody(*arguments)
            assert done.returncode == 2, (arguments, done)
            one_line(done.stderr)
        reading = [
            *(["status"], ["history", "things"], ["search", "things", "--items", "heldout.parquet", "--quiet"]),
            *(["gallery", "show", "things"], ["gallery", "list"], ["gallery", "verify", "things", "--quiet"]),
            *(["model", "list"], ["model", "show", "v2"], ["plan", "things", "v2", "--without-check", "test"]),
            *(["report", "things", check], ["matrix", "v1", "v2", "--items", "heldout.parquet", "--quiet"]),
            *(["doctor"], ["doctor", "--deep"], ["prune"], ["methods"]),
        ]
        codes = as_nobody(code=f"[print(run(one), one, file=sys.stderr) for one in {reading}]").stderr
        assert [line for line in codes.splitlines() if line.startswith("[") or line[0] in "01234"] == [
            f"0 {one}" for one in reading
        ], codes
        assert tree(open_folder) == before
        (open_folder / ".skipfill" / "models").chmod(0o700)
        if os.geteuid() == 0:
            blind = as_nobody("doctor")
            assert (blind.returncode, blind.stderr) == (1, "")
            assert "models: expected the permissions of the rest of the store" in blind.stdout
    finally:
        for folder in [open_folder, *open_folder.rglob("*")]:
            folder.chmod(0o755)


def test_an_error_about_another_file_is_not_one_about_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_file(tmp_path / "hits.parquet"):
        (tmp_path / "elsewhere" / "library.so").read_bytes()
    with pytest.raises(BadInput, match="folder that can be written to"), new_file(tmp_path / "hits.parquet"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
