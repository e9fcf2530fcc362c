"""A model that encodes in another way than when it was saved is refused, and what has changed is named."""

from __future__ import annotations

import hashlib
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.compat.encoders.hf.text import TextTokenizer
from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.network import unit
from skipfill.compat.inference.witness import difference, read_witness, verified_model, witness_file, witness_of
from skipfill.compat.inference.witness_items import TEXTS, as_block, witness_items
from skipfill.compat.trusted_code import permit
from skipfill.store.errors import BadInput
from skipfill.store.models.cards import WITNESS, file_key, load_card
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.storage.location import open_store
from tests.compat.encoders.samples import CASES, OWN, bert, block, drawings
from tests.compat.inference.bundles import (
    STORE,
    rewritten,
    texts,
    trained,
    without_witness,
    write_items,
    write_module,
)
from tests.conftest import Skipfill, World, tree


def refused(name: str = "v1") -> str:
    with pytest.raises(BadInput) as error:
        verified_model(open_store(STORE), name)
    assert f"model {name}: expected the same embeddings of its witness items" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_keeps_what_its_model_makes_of_fixed_items(skipfill: Skipfill, tmp_path: Path, case: str) -> None:
    """They are the same whatever it was trained on, and it makes the same of them again, as of any items."""
    kind, source, inputs = CASES[case](tmp_path)
    skipfill("init")
    card = trained(f"{kind}:{source}" if source else kind, inputs)
    witness = read_witness(open_store(STORE), card)
    assert witness is not None
    items = block(inputs)
    expected = witness_items(ItemBlock(items.ids[:1], inputs[:1], items.rows[:1], items.path))
    np.testing.assert_array_equal(witness.items.inputs, expected.inputs)
    assert not {str(one) for one in witness.items.inputs} & {str(one) for one in inputs} - {""}
    np.testing.assert_allclose(np.linalg.norm(witness.vectors, axis=1), 1, atol=1e-5)
    warnings: list[str] = []
    model = verified_model(open_store(STORE), "v1", warnings)
    assert warnings == []
    np.testing.assert_allclose(witness_of(model, witness.items), witness.vectors, atol=1e-5)
    file = STORE / file_key(card, WITNESS)
    code = ["--code", f"python:{source}"] if kind == "python" else []
    skipfill(*code, "encode", "v1", file, "-o", "again.parquet")
    again = np.stack(pq.read_table("again.parquet").column("vector").to_pylist())
    np.testing.assert_allclose(again, witness.vectors, atol=1e-5)


def test_threads_do_not_matter(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    trained("convnet", drawings(40))
    texts_card = trained(f"hf:{bert(tmp_path)}", ["abc"] * 20, "texts", frozen=True)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name in ("v1", "texts"):
                verified_model(open_store(STORE), name)
            witness = read_witness(open_store(STORE), texts_card)
            assert witness is not None
            now = witness_of(load_model(open_store(STORE), "texts"), witness.items)
            np.testing.assert_allclose(now, witness.vectors, atol=2e-6)
    finally:
        torch.set_num_threads(before)


def test_what_counts_as_a_difference() -> None:
    then = unit(torch.randn(9, 20, generator=torch.Generator().manual_seed(0))).numpy()
    noise = np.random.default_rng(0).normal(size=then.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert difference(then, then + 0.009 * noise) == ""  # products in half precision, as measured
    one = then.copy()
    one[4] = -one[4]
    assert difference(then, one).startswith("others, with a cosine of -1.0000 in the worst case and 1.0000")
    assert difference(then, then + 0.05 * noise)
    one[4] = np.nan
    assert difference(then, one) == "embeddings that are not finite"
    assert difference(then, 3 * then) == "embeddings that are no longer normalised (lengths from 3 to 3)"
    assert difference(then, then[:, :7]) == "dimension 7 instead of 20"


# The user's own code


@pytest.fixture
def own_code(skipfill: Skipfill, tmp_path: Path) -> str:
    """v1 by a module `mine_...`, and its name."""
    name = f"mine_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    write_module(tmp_path, name, OWN)
    skipfill("init")
    trained(f"python:{name}:Own", np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32))
    permit(f"{name}:Own")
    return name


def test_code_that_was_edited_is_refused_and_named(skipfill: Skipfill, own_code: str, tmp_path: Path) -> None:
    edited = OWN.replace("return self.linear(batch)", "return self.linear(batch.flip(1))  # edited")
    code = ["--code", f"python:{own_code}:Own"]
    skipfill(*code, "encode", "v1", "items.parquet", "-o", "before.parquet")
    skipfill("gallery", "add", "g", "before.parquet", "--space", "v1", "--label", "label")
    write_module(tmp_path, own_code, f"{OWN}\n# a remark changes nothing")
    skipfill(*code, "encode", "v1", "items.parquet", "-o", "remark.parquet")
    write_module(tmp_path, own_code, edited)
    before = {name for name in tree(tmp_path) if "__pycache__" not in name}
    for command in (
        ["encode", "v1", "items.parquet", "-o", "after.parquet"],
        ["search", "g", "--items", "items.parquet"],
        ["blend", "v3", "--new", "v1", "--old", "v1"],
        ["matrix", "v1", "--items", "items.parquet", "--gallery-items", "items.parquet"],
    ):
        found = skipfill(*code, *command, expect=2).err
        assert "model v1: expected the same embeddings of its witness items as when it was saved" in found
        assert f"changed since: the code of {own_code} " in found
        assert "torch" not in found
    assert {name for name in tree(tmp_path) if "__pycache__" not in name} == before


def test_an_old_model_whose_code_was_edited_is_no_baseline(skipfill: Skipfill, own_code: str, tmp_path: Path) -> None:
    code = ["--code", f"python:{own_code}:Own"]
    skipfill(*code, "encode", "v1", "items.parquet", "-o", "g.parquet")
    skipfill("gallery", "add", "g", "g.parquet", "--space", "v1", "--label", "label")
    skipfill("train", "v2", "--items", "items.parquet", "--gallery", "g", "--epochs", 1, "--quiet")
    write_items(np.random.default_rng(1).normal(size=(40, 16)).astype(np.float32), "queries.parquet", start=900)
    check = [*code, "check", "g", "v2", "--items", "queries.parquet"]
    skipfill(*check, expect=None)
    write_module(tmp_path, own_code, OWN.replace("self.linear(batch)", "self.linear(batch).square()"))
    assert f"changed since: the code of {own_code}" in skipfill(*check, expect=2).err


def test_code_that_no_longer_fits_the_weights(skipfill: Skipfill, own_code: str, tmp_path: Path) -> None:
    write_module(tmp_path, own_code, OWN.replace("Linear(16, out)", "Linear(16, out, bias=False)"))
    found = skipfill("--code", f"python:{own_code}:Own", "encode", "v1", "items.parquet", "-o", "x.parquet", expect=2)
    assert "model v1: expected a network that its weights fit" in found.err
    assert f"changed since: the code of {own_code}" in found.err


def test_what_the_code_imports_is_named_as_unrecorded(skipfill: Skipfill, tmp_path: Path) -> None:
    name = f"far_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    write_module(tmp_path, f"{name}_helper", "def change(batch): return batch\n")
    calling = OWN.replace("self.linear(batch)", "self.linear(HELPER.change(batch))").replace("HELPER", f"{name}_helper")
    write_module(tmp_path, name, f"import {name}_helper\n{calling}")
    skipfill("init")
    trained(f"python:{name}:Own", np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32))
    write_module(tmp_path, f"{name}_helper", "def change(batch): return batch.cos()  # edited\n")
    sys.modules.pop(name)
    assert "no recorded version or setting has changed: the code of the encoder" in refused()


PARTICULAR = """
import io, torch
import numpy as np
from PIL import Image
class Net(torch.nn.Module):
    def __init__(self, shaky=0.0):
        super().__init__()
        self.linear, self.shaky = torch.nn.Linear(784, 6), shaky
    def prepare(self, inputs):
        return np.stack([np.asarray(Image.open(io.BytesIO(one))) for one in inputs]).reshape(len(inputs), 784)
    def forward(self, batch):
        return self.linear(batch.float() + self.shaky * torch.rand(len(batch), 784))
"""


def test_code_that_takes_only_some_of_the_items(skipfill: Skipfill, tmp_path: Path) -> None:
    """Grey images of one size; and one that gives other vectors every time, which is its right, has no witness."""
    name = f"particular_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    write_module(tmp_path, name, PARTICULAR)
    skipfill("init")
    witness = read_witness(open_store(STORE), trained(f"python:{name}:Net", drawings(40)))
    assert witness is not None
    assert len(witness.items.ids) == 4
    verified_model(open_store(STORE), "v1")
    shaky = trained(f"python:{name}:Net", drawings(40), "v2", shaky=5.0)
    assert WITNESS not in shaky.files
    warnings: list[str] = []
    verified_model(open_store(STORE), "v2", warnings)
    assert warnings == ["model v2 has no witness vectors: it cannot be verified that it still encodes as it did"]


# Settings, tokenizers, libraries


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prefix": "query: "}, 'changed since: prefix "" then, "query: " now'),
        ({"pooling": "cls"}, 'changed since: pooling "mean" then, "cls" now'),
        ({"lower": True}, "changed since: lower false then, true now"),
        ({"max_length": 9}, "changed since: max_length 20 then, 9 now"),
    ],
)
def test_another_setting_is_named(skipfill: Skipfill, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    skipfill("init")
    texts(tmp_path)
    rewritten(change)
    assert told in refused()
    assert told in skipfill("encode", "v1", "items.parquet", "-o", "x.parquet", expect=2).err
    assert not Path("x.parquet").exists()


def test_another_tokenizer_is_named(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    card = texts(tmp_path)
    tokenizer = json.loads((STORE / file_key(card, "tokenizer.json")).read_text())
    letters = tokenizer["model"]["vocab"]
    letters["e"], letters["o"] = letters["o"], letters["e"]
    data = json.dumps(tokenizer).encode()
    rewritten({"tokenizer": hashlib.sha256(data).hexdigest()}, "tokenizer.json", data)
    assert 'changed since: tokenizer "' in refused()


def test_another_library_that_encodes_alike_is_fine_and_one_that_does_not_is_named(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipfill("init")
    texts(tmp_path)
    monkeypatch.setattr("skipfill.compat.encoders.hf.encoder.version", lambda library: "99.0")
    verified_model(open_store(STORE), "v1")
    plain = TextTokenizer.prepare

    def another(self: TextTokenizer, items: ItemBlock) -> np.ndarray:
        """Accents are dropped, as another default of a library may do."""
        apart = [unicodedata.normalize("NFD", text) for text in items.inputs]
        return plain(self, block(["".join(one for one in text if not unicodedata.combining(one)) for text in apart]))

    monkeypatch.setattr(TextTokenizer, "prepare", another)
    found = refused()
    assert "changed since: tokenizers " in found
    assert " then, 99.0 now" in found
    assert "prefix" not in found


def test_embeddings_that_are_no_longer_normalised(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipfill("init")
    texts(tmp_path)
    monkeypatch.setattr("skipfill.compat.inference.network.unit", lambda vectors: vectors)
    found = refused()
    assert "found embeddings that are no longer normalised (lengths from " in found
    assert "no recorded version or setting has changed" in found


def test_an_encoder_that_fails_now(skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skipfill("init")
    texts(tmp_path)

    def broken(self: TextTokenizer, items: ItemBlock) -> np.ndarray:
        raise TypeError("encode_batch() got an unexpected argument")

    monkeypatch.setattr(TextTokenizer, "prepare", broken)
    assert "found TypeError: encode_batch() got an unexpected argument" in refused()


# Bundles


def test_a_bundle_without_a_witness_is_used_with_a_warning(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 2, "--quiet")
    fingerprint = load_card(open_store(STORE), "v1").fingerprint
    check = ["check", "things", "v2", "--items", registered.heldout, "--json"]
    before = skipfill(*check, expect=None).document["check"]
    without_witness("v1")
    assert load_card(open_store(STORE), "v1").fingerprint == fingerprint
    after = skipfill(*check, expect=None).document["check"]
    told = "model v1 has no witness vectors: it cannot be verified that it still encodes as it did"
    assert told not in before["warnings"]
    assert told in after["warnings"]
    assert after["slices"] == before["slices"]
    skipfill("encode", "v1", registered.heldout, "-o", "x.parquet")
    skipfill("blend", "v3", "--new", "v2", "--old", "v1")
    without_witness("v2")
    skipfill("blend", "v4", "--new", "v2", "--old", "v1")
    objects = open_store(STORE)
    assert read_witness(objects, load_card(objects, "v3")) is not None
    assert read_witness(objects, load_card(objects, "v4")) is None


def test_a_blend_is_a_witness_of_both(skipfill: Skipfill, registered: World) -> None:
    skipfill("train", "v2", "--items", registered.items, "--gallery", "things", "--epochs", 2, "--quiet")
    skipfill("blend", "v3", "--new", "v2", "--old", "v1")
    model = verified_model(open_store(STORE), "v3")
    assert model.network.old is not None
    with torch.no_grad():
        model.network.old.head.weight += 1  # type: ignore[operator, union-attr]
    witness = read_witness(open_store(STORE), model.card)
    assert witness is not None
    assert difference(witness.vectors, witness_of(model, witness.items))


def test_a_damaged_witness_is_refused(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    card = texts(tmp_path)
    file = STORE / file_key(card, WITNESS)
    file.write_bytes(file.read_bytes()[:-9])
    found = skipfill("encode", "v1", "items.parquet", "-o", "x.parquet", expect=2).err
    assert f"{file.name}: expected SHA-256" in found


def test_texts_of_many_kinds_and_none_by_chance() -> None:
    assert len(set(TEXTS)) == 16
    assert min(map(len, TEXTS)) == 0
    assert max(len(one.split()) for one in TEXTS) > 512
    for like in ([""], drawings(1, side=2_000), np.ones((1, 3), np.float32)):
        first, again = witness_items(as_block(like)), witness_items(as_block(like))
        np.testing.assert_array_equal(first.inputs, again.inputs)


def test_a_model_that_can_encode_nothing_keeps_nothing(skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("init")
    texts(tmp_path)
    model = load_model(open_store(STORE), "v1")
    assert witness_file(LoadedModel(model.card, model.network), as_block(drawings(2)), b"") == {}
