"""A gallery whose vectors are not those of the model that its space names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.inference.gallery_agreement import LOOKED_AT, refuse_another_gallery, stored_items
from skipfill.compat.inference.load import load_model
from skipfill.store.errors import BadInput
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.parquet.items import open_items
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World, write_vectors

STORE = Path(".skipfill")


@pytest.fixture
def upgraded(skipfill: Skipfill, registered: World) -> World:
    """v2 of the dimension of v1, and its vectors of the gallery's items in swapped.parquet, which names no model."""
    against = ["--gallery", "things", "--method", "bct", "--set", "bct.extra_dims=0"]
    skipfill("train", "v2", "--items", registered.items, *against, "--epochs", 20, "--quiet")
    skipfill("encode", "v2", registered.gallery_items, "-o", "v2.parquet")
    plain(Path("v2.parquet"), "swapped.parquet")
    return registered


def plain(path: Path, target: str) -> None:
    table = pq.read_table(path)
    write_vectors(Path(target), vectors_of(table), table.column("id"), table.column("label"))


def vectors_of(table: pa.Table) -> np.ndarray:
    return np.stack(table.column("vector").to_pylist())


def joined(*paths: Path) -> list[object]:
    """Queries of which some are rows: the old model must encode them."""
    pq.write_table(pa.concat_tables([pq.read_table(path) for path in paths]), "mixed.parquet")
    return ["--items", "mixed.parquet"]


def added(skipfill: Skipfill, file: str, space: str = "v1") -> str:
    skipfill("gallery", "add", "g", file, "--space", space, "--label", "label")
    return "g"


def test_vectors_of_the_new_model_under_the_old_name(skipfill: Skipfill, upgraded: World) -> None:
    """Queries stored or not, the check ends before it measures: new/new would be taken for new/old."""
    gallery = added(skipfill, "swapped.parquet")
    found = skipfill("check", gallery, "v2", "--items", upgraded.gallery_items, expect=2).err
    assert "gallery g: expected the vectors that v1 makes of the items with the same ids, found those of v2" in found
    found = skipfill("check", gallery, "v2", *joined(upgraded.gallery_items, upgraded.heldout), expect=2).err
    assert "gallery g: expected the vectors that v1 makes" in found
    items = ["--items", upgraded.heldout, "--gallery-items", upgraded.gallery_items]
    assert "expected the vectors that v1 makes" in skipfill("check", gallery, "v2", *items, expect=2).err
    unknown = skipfill("check", gallery, "v2", "--items", upgraded.heldout, "--json", expect=None).document["check"]
    assert any("no item is one of its rows" in warning for warning in unknown["warnings"])


def test_vectors_of_a_stranger_of_the_same_dimension(skipfill: Skipfill, upgraded: World) -> None:
    skipfill("train", "w1", "--items", upgraded.old_items, "--dim", 8, "--epochs", 20, "--seed", 5, "--quiet")
    skipfill("encode", "w1", upgraded.gallery_items, "-o", "w.parquet")
    plain(Path("w.parquet"), "strange.parquet")
    gallery = added(skipfill, "strange.parquet")
    assert (
        "found others (median cosine"
        in skipfill("check", gallery, "v1", "--items", upgraded.gallery_items, expect=2).err
    )
    mixed = joined(upgraded.gallery_items, upgraded.heldout)
    assert "found others (median cosine" in skipfill("check", gallery, "v2", *mixed, expect=2).err
    # Stored queries are measured whoever made them. A model may fail by them, and none passes.
    stored = skipfill("check", gallery, "v2", "--items", upgraded.gallery_items, "--json", expect=1).document["check"]
    assert any("stored vectors differ from what v1 makes" in reason for reason in stored["why"])


def test_a_model_whose_code_is_not_permitted_is_not_passed_over(skipfill: Skipfill, world: World) -> None:
    """Stored queries are a baseline once it was asked about them."""
    name = f"mine_{hashlib.sha256(str(world.folder).encode()).hexdigest()[:12]}"
    Path(f"{name}.py").write_text("import torch\n\n\ndef build():\n    return torch.nn.Linear(16, 6)\n")
    skipfill("init")
    skipfill("train", "v1", "--items", world.old_items, "--encoder", f"python:{name}:build", "--epochs", 1)
    permitted = ("--code", f"python:{name}:build")
    skipfill(*permitted, "encode", "v1", world.gallery_items, "-o", "gallery.parquet")
    skipfill(*permitted, "gallery", "add", "things", "gallery.parquet", "--space", "v1")
    skipfill(*permitted, "train", "v2", "--items", world.items, "--gallery", "things", "--epochs", 1)
    command = ("check", "things", "v2", "--items", world.gallery_items)
    assert "expected permission to run" in skipfill(*command, expect=2).err
    assert skipfill(*permitted, *command, expect=None).code != 2


def test_of_a_gallery_without_a_row_of_its_own_model_nothing_is_known(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("encode", "v2", with_v2.gallery_items, "-o", "new.parquet", "--onto", "v1")
    skipfill("gallery", "refresh", "things", "new.parquet")
    for more in ([], ["--gallery-items", with_v2.gallery_items]):
        checked = skipfill("check", "things", "v2", "--items", with_v2.heldout, *more, "--json", expect=None)
        assert checked.code in (0, 1, 3), checked.err
        warnings = checked.document["check"]["warnings"]
        assert any("it cannot be verified that v1 encoded gallery things" in warning for warning in warnings)


def test_the_right_gallery_is_not_refused(skipfill: Skipfill, upgraded: World) -> None:
    """In its own metadata's absence, and in half precision."""
    table = pq.read_table("gallery.parquet")
    half = pa.array(list(vectors_of(table).astype(np.float16)), pa.list_(pa.float16()))
    pq.write_table(table.set_column(1, "vector", half), "half.parquet")
    gallery = added(skipfill, "half.parquet")
    for items in (["--items", upgraded.gallery_items], joined(upgraded.gallery_items, upgraded.heldout)):
        found = skipfill("check", gallery, "v2", *items, "--json", expect=None).document["check"]
        assert not [sentence for sentence in [*found["warnings"], *found["why"]] if "gallery g" in sentence]


def test_permuted_ids_are_refused(skipfill: Skipfill, upgraded: World) -> None:
    table = pq.read_table("gallery.parquet")
    shuffled = np.random.default_rng(0).permutation(len(table))
    write_vectors(Path("shuffled.parquet"), vectors_of(table)[shuffled], table.column("id"), table.column("label"))
    gallery = added(skipfill, "shuffled.parquet")
    mixed = joined(upgraded.gallery_items, upgraded.heldout)
    assert "expected the vectors that v1 makes" in skipfill("check", gallery, "v2", *mixed, expect=2).err


def test_a_file_of_another_model_is_told(skipfill: Skipfill, upgraded: World) -> None:
    """One of three."""
    for start, source in ((0, "gallery.parquet"), (128, "v2.parquet"), (256, "gallery.parquet")):
        table = pq.read_table(source).slice(start, 128)
        write_vectors(Path(f"{start}.parquet"), vectors_of(table), table.column("id"), table.column("label"))
    skipfill("gallery", "add", "g", "0.parquet", "128.parquet", "256.parquet", "--space", "v1", "--label", "label")
    objects, warnings = open_store(STORE), list[str]()
    gallery, items = open_gallery(objects, "g"), open_items([upgraded.gallery_items])
    refuse_another_gallery(gallery, load_model(objects, "v1"), items, warnings)
    assert warnings == ["in gallery g, 11 of 33 stored vectors differ from what v1 makes of the items with their ids"]
    with pytest.raises(BadInput, match="expected the vectors that v2 makes"):
        refuse_another_gallery(gallery, load_model(objects, "v2"), items, warnings)


def test_rows_are_looked_at_in_every_part(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    files = []
    for part in range(4):
        ids = np.arange(100) + 100 * part
        files.append(write_vectors(tmp_path / f"{part}.parquet", random.normal(size=(100, 3)), ids))
    rows = StoredRows.open(files, Columns(), 3)
    some = stored_items(rows, open_items(files))
    assert some is not None
    ids = some.items.ids.to_numpy()
    assert len(ids) == LOOKED_AT
    assert np.bincount(ids // 100).tolist() == [8, 8, 8, 8]
    expected = np.concatenate([vectors_of(pq.read_table(file)) for file in files])[ids]
    np.testing.assert_allclose(some.vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5)
    strangers = open_items([write_vectors(tmp_path / "x.parquet", random.normal(size=(5, 3)), np.arange(5) + 1_000)])
    assert stored_items(rows, strangers) is None
