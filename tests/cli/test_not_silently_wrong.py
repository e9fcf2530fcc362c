"""Faults that would go unnoticed: leaks into the evidence, joins of strangers, mixed spaces, lost bundles."""

from __future__ import annotations

import getpass
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.torch import load, save

from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.training.data.gallery_join import join_gallery
from skipfill.store.errors import Stale
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.models.cards import TRAINED_IDS, WEIGHTS, load_card
from skipfill.store.models.files import read_file, save_model
from skipfill.store.parquet.digests.fingerprint import fingerprint
from skipfill.store.parquet.items import ItemBlock, open_items
from skipfill.store.parquet.pinned import PinnedFile
from skipfill.store.storage.location import open_store
from tests.conftest import Skipfill, World, write_vectors

STORE = Path(".skipfill")
AGAINST = ["train", "v2", "--items", "items.parquet", "--gallery", "things"]


def trained(skipfill: Skipfill, world: World, *more: object) -> None:
    skipfill("train", "v2", "--items", world.items, "--gallery", "things", "--epochs", 2, "--quiet", *more)


def saved_ids(name: str) -> set[str]:
    objects = open_store(STORE)
    data = read_file(objects, load_card(objects, name), TRAINED_IDS)
    return set(pq.read_table(io.BytesIO(data)).column("id").to_pylist())


def ids_of(path: Path) -> set[str]:
    return set(pq.read_table(path).column("id").to_pylist())


def test_rows_of_a_class_that_no_item_has_are_of_no_training_class(registered: World) -> None:
    """The old model knows some of them, and the new one keeps their class's slot: nothing is learned from them."""
    gallery, items = open_gallery(open_store(STORE), "things"), open_items([registered.items])
    assert items.labels is not None
    labels = items.labels.to_pylist()
    classes, without = sorted(set(labels)), "class-02"
    some = items.restricted(np.array([label != without for label in labels]))
    align = open_items([registered.gallery_items])
    joined = join_gallery(gallery, some, classes, unlabelled=align)
    assert joined.unlabelled is not None
    slot = classes.index(without)
    assert joined.space.counts[slot] == joined.space.counts.max()
    others = {*range(-1, len(classes))} - {slot}
    assert set(joined.space.pool.labels.tolist()) == set(joined.unlabelled.labels.tolist()) == others


def test_what_was_aligned_is_no_query(skipfill: Skipfill, registered: World) -> None:
    trained(skipfill, registered, "--align", registered.unlabelled)
    assert saved_ids("v2") == ids_of(registered.items) | ids_of(registered.unlabelled)


def test_what_a_teacher_was_trained_on_is_no_query(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "teacher", "--items", registered.gallery_items, "--epochs", 2)
    trained(skipfill, registered, "--method", "bt2", "--teacher", "teacher")
    assert saved_ids("v2") == ids_of(registered.gallery_items)


def test_what_is_held_out_is_neither_item_nor_aligned(skipfill: Skipfill, registered: World) -> None:
    pq.write_table(pq.read_table(registered.gallery_items).slice(0, 20), "out.parquet")
    trained(skipfill, registered, "--align", registered.unlabelled, "--hold-out", "out.parquet")
    expected = ids_of(registered.items) | ids_of(registered.unlabelled)
    assert saved_ids("v2") == expected - ids_of(Path("out.parquet"))
    assert expected & ids_of(Path("out.parquet"))
    nothing = ["train", "v3", "--items", registered.items, "--gallery", "things", "--hold-out"]
    assert "expected items that are not held out" in skipfill(*nothing, registered.gallery_items, expect=2).err


def test_a_slice_that_was_not_looked_at_does_not_pass(skipfill: Skipfill, registered: World) -> None:
    """The gallery has rows of untrained classes; queries of trained ones alone say nothing about them."""
    trained(skipfill, registered, "--epochs", 60)
    lenient = ["check", "things", "v2", "--items", registered.known, "--metric", "mAP", "--margin", 0.3, "--json"]
    blind = skipfill(*lenient, expect=3).document["check"]
    assert blind["why"][-1] == "unseen: no query of this kind, though the gallery has rows of it"
    assert skipfill(*lenient, "--accept-worse", "unseen").document["verdict"] == "pass"


def test_queries_with_nothing_to_find_are_no_evidence(skipfill: Skipfill, registered: World) -> None:
    trained(skipfill, registered)
    table = pq.read_table(registered.heldout)
    strange = table.slice(0, 10)
    strange = strange.set_column(0, "id", [[f"strange-{i}" for i in range(10)]])
    strange = strange.set_column(2, "label", [["never stored"] * 10])
    pq.write_table(pa.concat_tables([table, strange]), "more.parquet")
    plain = skipfill("check", "things", "v2", "--items", registered.heldout, "--json", expect=None).document["check"]
    mixed = skipfill("check", "things", "v2", "--items", "more.parquet", "--json", expect=None).document["check"]
    assert mixed["slices"] == plain["slices"]
    assert any(warning.startswith("10 queries left out") for warning in mixed["warnings"])
    pq.write_table(strange, "strange.parquet")
    refused = skipfill("check", "things", "v2", "--items", "strange.parquet", expect=2)
    assert "expected labels that gallery things has" in refused.err


def test_a_model_that_is_not_finite_is_not_measured(skipfill: Skipfill, registered: World) -> None:
    """NaN would rank anywhere, first included."""
    trained(skipfill, registered)
    objects = open_store(STORE)
    card = load_card(objects, "v2")
    tensors = load(read_file(objects, card, WEIGHTS))
    tensors["head.own.bias"][:] = float("nan")
    views = {("broken" if space == "v2" else space): view for space, view in card.views.items()}
    save_model(objects, replace(card, name="broken", views=views), save(tensors), pa.array(["none"]))
    for command in (
        ["check", "things", "broken", "--items", registered.heldout],
        ["encode", "broken", registered.heldout, "-o", "out.parquet"],
    ):
        assert "model broken: expected finite embeddings" in skipfill(*command, expect=2).err
    assert not Path("out.parquet").exists()


def test_ids_that_mean_other_things_are_refused(skipfill: Skipfill, registered: World) -> None:
    """As when ids are row numbers of two different files: everything is found, and nothing is what it seems."""

    def shifted(path: Path) -> Path:
        table = pq.read_table(path)
        ids = table.column("id").to_pylist()
        out = path.with_name(f"shifted_{path.name}")
        pq.write_table(table.set_column(0, "id", pa.array(ids[48:] + ids[:48])), out)
        return out

    trained(skipfill, registered)
    for command in (
        ["train", "v3", "--gallery", "things", "--items", shifted(registered.items)],
        ["check", "things", "v1", "--items", shifted(registered.gallery_items)],
    ):
        error = skipfill(*command, expect=2).err
        assert "expected items that are the rows of gallery things with the same ids, found another label" in error


def test_a_second_training_of_a_name_leaves_the_first_bundle_whole(skipfill: Skipfill, registered: World) -> None:
    trained(skipfill, registered)
    objects = open_store(STORE)
    card = load_card(objects, "v2")
    with pytest.raises(Stale, match="another model of this name was saved first"):
        save_model(objects, card, b"others", pa.array(["x"]))
    assert load_card(objects, "v2") == card
    assert read_file(objects, card, WEIGHTS)
    assert saved_ids("v2") == ids_of(registered.items)


def test_a_training_does_not_go_on_with_other_features(skipfill: Skipfill, registered: World) -> None:
    """Same ids, same labels, same settings, other vectors."""
    command: list[object] = ["train", "half", "--items", "items.parquet", "--epochs", 4]
    unfinished(skipfill, command)
    skipfill(*command)  # with the same ones it does
    shutil.rmtree(STORE / "models" / "half")
    unfinished(skipfill, command)
    table = pq.read_table("items.parquet")
    halves = np.stack(table.column("vector").to_pylist()) / 2
    write_vectors(Path("items.parquet"), halves, table.column("id"), table.column("label"))
    assert "--restart" in skipfill(*command, expect=2).err


def unfinished(skipfill: Skipfill, command: list[object]) -> None:
    """Leave the checkpoint that a kill before the end leaves."""
    from skipfill.compat.training.loop import checkpoint

    clear = checkpoint.Checkpoints.clear
    try:
        checkpoint.Checkpoints.clear = lambda self: None  # type: ignore[method-assign]
        skipfill(*command)
    finally:
        checkpoint.Checkpoints.clear = clear  # type: ignore[method-assign]
    shutil.rmtree(STORE / "models" / str(command[1]))


def test_vectors_of_another_model_are_not_registered(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "w1", "--items", registered.old_items, "--dim", 8, "--epochs", 2, "--seed", 5)
    skipfill("encode", "w1", registered.gallery_items, "-o", "w.parquet")
    error = skipfill("gallery", "add", "mixed", "w.parquet", "--space", "v1", expect=2).err
    assert "expected vectors by model v1" in error
    assert "found vectors by w1" in error


def test_verify_sees_what_the_footer_does_not(skipfill: Skipfill, tmp_path: Path) -> None:
    """The same vectors on other ids: same size, same footer."""
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    path = tmp_path / "g.parquet"
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    table = pa.table({"id": pa.array(range(50)), "vector": pa.array(list(vectors))})
    pq.write_table(table, path, **plain)
    skipfill("init")
    skipfill("gallery", "add", "g", path, "--space", "s")
    skipfill("gallery", "verify", "g", "--deep")
    before = fingerprint(PinnedFile(path), tmp_path)
    pq.write_table(table.set_column(1, "vector", pa.array(list(vectors[::-1]))), path, **plain)
    assert fingerprint(PinnedFile(path), tmp_path) == before
    skipfill("gallery", "verify", "g")
    assert "expected the ids, vectors and labels" in skipfill("gallery", "verify", "g", "--deep", expect=4).err


def test_items_that_fill_whole_blocks_can_be_left_out(skipfill: Skipfill, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5_000, 3))
    items = open_items([write_vectors(tmp_path / "many.parquet", vectors)])
    rest = items.restricted(np.arange(5_000) >= 4_500)
    blocks = list(rest.blocks())
    assert sum(len(block.ids) for block in blocks) == 500
    assert blocks[0].rows[0] == 4_500
    last = rest.restricted(np.arange(500) == 499)  # a part of a part
    (block,) = last.blocks()
    assert block.ids.to_pylist() == ["r04999"]
    np.testing.assert_allclose(block.inputs, vectors[4_999:].astype(np.float32))


def test_search_prints_ids_whole_and_as_they_are(skipfill: Skipfill, tmp_path: Path) -> None:
    ids = [f"shoe[left]-{'x' * 70}-{i}" for i in range(30)]
    write_vectors(tmp_path / "g.parquet", np.random.default_rng(0).normal(size=(30, 4)), ids)
    skipfill("init")
    skipfill("gallery", "add", "g", "g.parquet", "--space", "s")
    found = skipfill("search", "g", "--vectors", "g.parquet", "-k", 1)
    lines = found.out.splitlines()[1:]
    assert [line.split() for line in lines] == [[name, "1", name, "1.0000"] for name in ids[:20]]
    assert "20 of 30 queries shown" in found.err


def test_a_reason_that_looks_like_markup(skipfill: Skipfill, registered: World) -> None:
    trained(skipfill, registered)
    assert "for [/prod] and [b]" in skipfill("swap", "things", "v2", "--without-check", "for [/prod] and [b]").out
    skipfill("rollback", "things", "--reason", "back [/prod]")
    history = skipfill("history", "things").out
    assert "for [/prod] and [b]" in history
    assert "back [/prod]" in history


def test_a_user_without_a_name(skipfill: Skipfill, registered: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr(getpass, "getuser", nameless)
    skipfill("gallery", "add", "again", "gallery.parquet", "--space", "v1")
    assert skipfill("status", "--json").document["galleries"]["again"]["by"].startswith("uid ")


def test_files_and_columns_with_names_that_mean_something_to_sql(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    folder = tmp_path / "id=3"
    folder.mkdir()
    vectors = np.random.default_rng(0).normal(size=(4, 3))
    write_vectors(folder / "part[1].parquet", vectors, [1, 2, 3, 4])
    write_vectors(folder / "part1.parquet", vectors, [1, 1, 1, 1])  # what the brackets would match
    table = pq.read_table(folder / "part[1].parquet").append_column("filename", pa.array([7, 7, 7, 7]))
    pq.write_table(table.append_column("ID", pa.array([9, 9, 9, 9])), folder / "part[1].parquet")
    skipfill("gallery", "add", "g", folder / "part[1].parquet", "--space", "s")
    assert (
        "found 9 4 times"
        in skipfill("gallery", "add", "h", folder / "part[1].parquet", "--space", "s", "--id", "ID", expect=2).err
    )


def test_deep_grey_images_keep_their_greys() -> None:
    grey = np.linspace(0, 65_535, 28 * 28).reshape(28, 28).astype(np.uint16)
    data = io.BytesIO()
    Image.fromarray(grey).save(data, "PNG")
    block = ItemBlock(pa.array(["a"]), [data.getvalue()], np.array([0]), Path("x"))
    settings = ConvNet.settings_for(block, {})
    assert settings.channels == 1
    prepared = ConvNet(settings).prepare(block)
    np.testing.assert_allclose(prepared[0, 0], grey / 257, atol=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "v2", "--items", "items.parquet", "--seed", -1], "--seed"),
        (["train", "v2", "--items", "items.parquet", "--batch", 1], "expected at least 2 items"),
        (["train", "v2", "--items", "items.parquet", "--align", "items.parquet"], "found method independent without"),
        ([*AGAINST, "--method", "independent", "--align", "items.parquet"], "found method independent"),
        (["train", "v2", "--items", "nested.parquet"], "expected values that fit string"),
        (["train", "v2", "--items", "huge.parquet"], "expected values that fit int64"),
        (["gallery", "add", "e", "empty.parquet", "--space", "s"], "expected vectors of at least one number"),
        (["demo", "--folder", "items.parquet"], "expected a folder to work in"),
    ],
)
def test_odd_input_ends_in_one_line(
    skipfill: Skipfill, registered: World, arguments: list[object], expected: str
) -> None:
    vector = [[1.0, 2.0]]
    pq.write_table(pa.table({"id": ["a"], "vector": vector, "label": [["x"]]}), "nested.parquet")
    pq.write_table(pa.table({"id": pa.array([2**63], pa.uint64()), "vector": vector, "label": ["x"]}), "huge.parquet")
    pq.write_table(pa.table({"id": ["a"], "vector": pa.array([[]], pa.list_(pa.float32()))}), "empty.parquet")
    found = skipfill(*arguments, expect=2)
    assert expected in found.err
    assert len(found.err.splitlines()) == 1


def test_queries_with_ids_of_another_type_are_refused(skipfill: Skipfill, registered: World) -> None:
    table = pq.read_table(registered.heldout)
    pq.write_table(table.set_column(0, "id", pa.array(range(len(table)))), "numbers.parquet")
    nothing = ["train", "v2", "--items", registered.items, "--gallery", "things", "--hold-out", "numbers.parquet"]
    assert "expected ids of type string, as in the items, found int64" in skipfill(*nothing, expect=2).err
    trained(skipfill, registered)
    refused = skipfill("check", "things", "v2", "--items", "numbers.parquet", expect=2)
    assert "expected ids of type string, as in gallery things, found int64" in refused.err
