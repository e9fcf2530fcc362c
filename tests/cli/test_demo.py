"""The demo, made small: the story runs to its end, and says the truth about what passed."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skipfill.cli.demo_data.split import Files, write_demo_files
from tests.conftest import Skipfill

DATA = Path(__file__).parents[2] / "cli" / "demo_data"


@pytest.fixture
def every_tenth_character(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo has the drawings of every tenth character."""

    def write_fewer(folder: Path, seed: int = 0) -> Files:
        files = write_demo_files(folder, seed)
        labels = sorted(set(pq.read_table(files.gallery_items).column("label").to_pylist()))[::10]
        for path in vars(files).values():
            table = pq.read_table(path)
            pq.write_table(table.filter(pc.is_in(table.column("label"), pa.array(labels))), path)
        return files

    monkeypatch.setattr("skipfill.cli.demo_data.split.write_demo_files", write_fewer)


@pytest.mark.usefixtures("every_tenth_character")
def test_the_demo_runs_to_its_end(skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPFILL_STORE", str(tmp_path / "mine"))  # no concern of the demo's
    result = skipfill("demo", "--epochs", 1)
    assert os.environ["SKIPFILL_STORE"] == str(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    assert Path.cwd() == tmp_path
    last_screen = result.out[result.out.index("CMC@1 of ") :].splitlines()
    assert len(last_screen) <= 23  # and the prompt
    assert max(map(len, last_screen)) <= 80
    for text in ("old/old", "new/old", "new/new", "v2-oca", "v2-bt2", "v2-simplex", "v2-gallery", "Done in"):
        assert text in "\n".join(last_screen)
    demo = tmp_path / "skipfill-demo"
    with monkeypatch.context() as inside:
        inside.chdir(demo)
        inside.delenv("SKIPFILL_STORE")
        pq.write_table(pq.read_table("heldout.parquet").slice(0, 100), "few.parquet")
        skipfill("check", "characters", "v2-oca", "--items", "few.parquet", expect=None)
    document = skipfill("demo", "--epochs", 1, "--json").document
    # Again: nothing is trained or checked twice, but where a check that is not the demo's own came between.
    assert len(list(demo.glob(".skipfill/checks/*/*/report.json"))) == 4 + 1 + 1
    for options in (("--epochs", 2), ("--epochs", 1, "--full"), ("--epochs", 1, "--seed", 1)):
        assert "expected an empty folder, or a demo of" in skipfill("demo", *options, expect=2).err
    passed = [method for method, check in document["checks"].items() if check["verdict"] == "pass"]
    assert document["swapped"] == (f"v2-{passed[-1]}" if passed else "")
    assert set(document["checks"]) == {"oca", "bt2", "simplex", "gallery"}
    queries = pq.read_metadata(demo / "heldout.parquet").num_rows
    assert queries == 3600 / 10
    for check in document["checks"].values():
        by_name = {one["name"]: one["queries"] for one in check["slices"]}
        assert by_name["all"] == queries == by_name["seen"] + by_name["unseen"]


def test_the_split_keeps_what_it_promises(tmp_path: Path) -> None:
    files = write_demo_files(tmp_path, seed=1)
    tables = {name: pq.read_table(path) for name, path in vars(files).items()}
    ids = {name: set(table.column("id").to_pylist()) for name, table in tables.items()}
    alphabets = {name: set(table.column("alphabet").to_pylist()) for name, table in tables.items()}
    assert not ids["heldout"] & ids["gallery_items"]
    assert len(ids["heldout"] | ids["gallery_items"]) == 12_000
    assert len(ids["heldout"]) == 3600
    assert ids["old_items"] < ids["items"] < ids["gallery_items"]
    assert alphabets["old_items"] < alphabets["items"] < alphabets["gallery_items"] == alphabets["heldout"]


def test_the_bundled_data_is_small_and_licensed() -> None:
    assert (DATA / "omniglot.parquet").stat().st_size < 3_000_000
    assert "MIT License" in (DATA / "LICENSE-omniglot.txt").read_text()
    assert pq.read_schema(DATA / "omniglot.parquet").names == [
        "id",
        "image",
        "label",
        "alphabet",
    ]
