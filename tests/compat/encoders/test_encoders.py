"""The contract that every encoder keeps, what `--encoder` refuses, and text items."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.cli.error_messages import sentence
from skipfill.cli.terminal.next_command import install_command
from skipfill.compat.encoders.choice import chosen_encoder
from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.hf.config import declared_keys, refuse_config
from skipfill.compat.encoders.prepared import Prepared, as_float
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.feature_cache import as_features
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.sources import open_sources
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemBlock, open_items
from skipfill.store.storage.location import open_store
from tests.compat.encoders.samples import CASES, OWN, bert, block, drawings, encoded, own
from tests.conftest import Skipfill, World, tree, write_vectors
from tests.warm import run

TIED = """
import torch
from torch import nn

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.register_buffer("mask", torch.full((2, 2), -torch.inf))

    def forward(self, batch):
        return self.second(self.first(batch).relu())
"""


def made(case: str, folder: Path) -> tuple[Encoder, ItemBlock]:
    name, source, inputs = CASES[case](folder)
    items = block(inputs)
    torch.manual_seed(0)
    return ENCODERS[name].for_items(source, items, {}), items


def test_every_encoder_has_a_case() -> None:
    assert {name.split()[0] for name in CASES} == set(ENCODERS)


@pytest.mark.parametrize("case", CASES)
def test_the_contract(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite features of the width it says; gradient reaches every weight; the card rebuilds it; rows are alone."""
    monkeypatch.chdir(tmp_path)
    encoder, items = made(case, tmp_path)
    features = encoded(encoder, items)
    assert features.shape == (70, encoder.width)
    assert np.isfinite(features).all()
    one = ItemBlock(items.ids[:1], items.inputs[:1], items.rows[:1], items.path)
    np.testing.assert_allclose(encoded(encoder, one), features[:1], atol=1e-5)
    data = TrainingData(Prepared(encoder.prepare(items)), torch.zeros(70, dtype=torch.long))
    once = as_features(data, encoder, torch.device("cpu"), tmp_path, Progress())
    np.testing.assert_array_equal(once.items.items, features)

    encoder.train()
    batch = encoder.augment(as_float(encoder.prepare(items)[:8]))
    if any(True for _ in encoder.parameters()):
        encoder(batch).square().sum().backward()
    assert all(value.grad is not None for value in encoder.parameters())

    files = encoder.files()
    again = type(encoder).rebuilt(encoder.described(), files.__getitem__)
    again.load_state_dict(encoder.state_dict())
    assert again.takes == encoder.takes == items.kind
    encoder.eval()
    np.testing.assert_array_equal(encoded(again, items), encoded(encoder, items))


def test_help_and_a_training_without_hf_load_no_transformers(registered: World) -> None:
    code = (
        "import sys; sys.modules['transformers'] = None; sys.modules['tokenizers'] = None; "
        "from skipfill.cli.app import run; "
        "assert run('train v2 --items items.parquet --epochs 1 --quiet'.split()) == 0; "
        "sys.exit(run('train v3 --items items.parquet --input label --encoder hf:x --quiet'.split()))"
    )
    done = run(code, cwd=Path.cwd(), timeout=120)
    assert done.returncode == 2, done
    assert "expected the transformers library" in done.stderr
    assert install_command("hf") in done.stderr


REFUSED = {
    "an unknown encoder": ("convnt", "expected a known encoder (nearest: convnet"),
    "a source too many": ("mlp:x", "expected mlp, found mlp:x"),
    "a source missing": ("hf", "expected hf:FOLDER_OR_NAME, found hf"),
    "another kind of items": ("convnet", "expected items with a column of images, found vectors in column vector"),
    "a folder that is not there": (
        "--input label hf:./nowhere",
        "expected a folder with config.json, found no such folder",
    ),
    "a folder without a model": ("--input label hf:.", "expected a model of transformers (config.json)"),
    "a module that is not there": ("python:nowhere_at_all:net", "No module named 'nowhere_at_all'"),
    "no factory": ("python:os", "expected python:MODULE:FACTORY"),
    "a factory that returns no module": ("python:OWN:nothing", "expected a torch module, found int"),
    "a factory that fails": ("python:OWN:broken", "RuntimeError: no such luck"),
    "features of another shape": ("python:OWN:flat", "expected (N, F) float features of N items"),
    "a module of texts": ("python:OWN:letters", "found an encoder of texts"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(skipfill: Skipfill, world: World, tmp_path: Path, case: str) -> None:
    encoder, expected = REFUSED[case]
    *more, encoder = encoder.replace("OWN", own(tmp_path)).split()
    skipfill("init")
    before = {name for name in tree(tmp_path) if "__pycache__" not in name}
    found = skipfill("train", "v2", "--items", world.items, "--encoder", encoder, "--epochs", 1, *more, expect=2).err
    assert expected in found
    assert "Traceback" not in found
    assert {name for name in tree(tmp_path) if "__pycache__" not in name} == before


def test_pickled_weights_are_refused(skipfill: Skipfill, tmp_path: Path) -> None:
    folder = Path(bert(tmp_path))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    pq.write_table(pa.table({"id": [1, 2], "text": ["a", "b"], "label": ["x", "y"]}), "texts.parquet")
    skipfill("init")
    found = skipfill("train", "v1", "--items", "texts.parquet", "--encoder", f"hf:{folder}", expect=2).err
    assert "pytorch_model.bin: expected weights in safetensors" in found


def test_adapters_are_refused(tmp_path: Path) -> None:
    """An adapter is refused: with peft installed, transformers would load the model that it names."""
    folder = Path(bert(tmp_path))
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "someone/else"}')
    with pytest.raises(BadInput, match=r"adapter_config\.json: expected a complete model, found an adapter"):
        ENCODERS["hf"].for_items(str(folder), block(["a"]), {})


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(bert(tmp_path))
    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"found none for encoder\.layer\.1\.output\.dense\.weight"):
        ENCODERS["hf"].for_items(str(folder), block(["a"]), {})


def test_settings_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given settings win; those of the user's own code are its arguments."""
    monkeypatch.chdir(tmp_path)
    path = write_vectors(tmp_path / "v.parquet", np.eye(16)[:4])
    items = open_items([path])
    perceptron = chosen_encoder("auto", items)
    assert perceptron.new(items, {"hidden": 3}).width == 16 + 3
    mine = chosen_encoder(f"python:{own(tmp_path)}:Own", items)
    assert mine.new(items, {"out": 5}).described()["arguments"] == {"out": 5}
    with pytest.raises(BadInput, match="unexpected keyword argument 'in'"):
        mine.new(items, {"in": 5})


def test_text_items(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": [1, 2], "text": pa.array(["a", "b"], pa.large_string())}), path)
    items = open_items([path])
    assert items.kind == "text"
    assert next(items.blocks()).inputs == ["a", "b"]
    with pytest.raises(BadInput, match="expected an encoder of texts, found none: no built-in encoder") as error:
        chosen_encoder("auto", items)
    assert "--encoder hf:" in sentence(error.value.hint)
    pq.write_table(pa.table({"id": [1, 2, 3], "text": ["a", "b", None]}), path)
    with pytest.raises(BadInput, match=r"t\.parquet, column text, row 2: expected a text, found NULL"):
        next(open_items([path]).blocks())
    pq.write_table(pa.table({"id": [1], "text": ["a"], "vector": [[1.0, 2.0]]}), path)
    assert open_items([path]).kind == "vector"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_image_items_may_be_bytes_alone(kind: pa.DataType, tmp_path: Path) -> None:
    path, images = tmp_path / "i.parquet", drawings(2)
    pq.write_table(pa.table({"id": [1, 2], "image": pa.array(images, kind)}), path)
    items = open_items([path])
    assert items.kind == "image"
    assert next(items.blocks()).inputs == images
    pq.write_table(pa.table({"id": [1, 2], "image": pa.array([images[0], None], kind)}), path)
    with pytest.raises(BadInput, match=r"i\.parquet, column image, row 1: expected an image's bytes"):
        next(open_items([path]).blocks())


def test_weights_may_be_tied_and_buffers_infinite(skipfill: Skipfill, world: World, tmp_path: Path) -> None:
    """And the seed as large as one can be."""
    name = f"tied_{own(tmp_path)}"
    (tmp_path / f"{name}.py").write_text(TIED)
    command = ["--items", world.items, "--encoder", f"python:{name}:Tied", "--epochs", 2, "--seed", 2**63 - 1]
    skipfill("init")
    skipfill("train", "v1", *command)
    skipfill("--code", f"python:{name}:Tied", "encode", "v1", world.heldout, "-o", "vectors.parquet")


def test_a_checkpoint_is_of_one_code_and_of_one_frozen_encoder(
    skipfill: Skipfill, world: World, tmp_path: Path
) -> None:
    skipfill("init")
    opened = open_sources(open_store(Path(".skipfill")), Recipe("independent"), Sources([world.items]))

    def digest(encoder: Encoder) -> str:
        return opened.digest(Recipe("independent"), encoder)

    name = own(tmp_path)
    before = digest(ENCODERS["python"].for_items(f"{name}:Own", block(np.eye(16, dtype=np.float32)), {}))
    (tmp_path / f"{name}.py").write_text(f"{OWN}\n# edited")
    assert digest(ENCODERS["python"].for_items(f"{name}:Own", block(np.eye(16, dtype=np.float32)), {})) != before
    model, _ = made("hf images", tmp_path)
    for frozen in (False, True):
        model.frozen = frozen
        before = digest(model)
        next(model.parameters()).data += 1
        assert (digest(model) != before) == frozen


def test_the_users_own_code_runs_only_when_they_name_it(skipfill: Skipfill, world: World, tmp_path: Path) -> None:
    name = f"{own(tmp_path)}:Own"
    skipfill("init")
    skipfill("train", "v1", "--items", world.old_items, "--dim", 8, "--encoder", f"python:{name}", "--epochs", 2)
    refused = skipfill("encode", "v1", world.gallery_items, "-o", "g.parquet", expect=2).err
    assert f"expected permission to run {name}, found none" in refused
    assert f"skipfill --code python:{name} COMMAND" in refused
    assert not Path("g.parquet").exists()
    code = ["--code", f"python:{name}"]
    skipfill(*code, "encode", "v1", world.gallery_items, "-o", "g.parquet")
    skipfill("gallery", "add", "g", "g.parquet", "--space", "v1")
    skipfill("train", "v2", "--items", world.items, "--gallery", "g", "--epochs", 2)
    # The old encoder is needed for queries that the gallery does not store: not permitted is not gone.
    check = ["check", "g", "v2", "--items", world.heldout]
    assert "expected permission" in skipfill(*check, expect=2).err
    skipfill(*code, *check, expect=None)
    search = ["search", "g", "--items", world.heldout, "-o", "hits.parquet"]
    assert "expected permission" in skipfill(*search, expect=2).err
    skipfill(*code, *search)
    assert "expected permission" in skipfill("blend", "v3", "--new", "v2", "--old", "v1", expect=2).err
    skipfill(*code, "blend", "v3", "--new", "v2", "--old", "v1")  # of a perceptron and the user's own module
    skipfill(*code, "encode", "v3", world.heldout, "-o", "h.parquet")


def test_permission_by_the_environment(
    skipfill: Skipfill, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = own(tmp_path)
    skipfill("init")
    skipfill("train", "v1", "--items", world.old_items, "--encoder", f"python:{module}:narrow", "--epochs", 1)
    monkeypatch.setenv("SKIPFILL_CODE", f"python:{module}:letters")
    assert "expected permission" in skipfill("encode", "v1", world.items, "-o", "g.parquet", expect=2).err
    monkeypatch.setenv("SKIPFILL_CODE", f"python:{module}:letters,python:{module}:narrow")
    skipfill("encode", "v1", world.items, "-o", "g.parquet")


def test_a_type_that_the_installed_library_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    older = SimpleNamespace(CONFIG_MAPPING={}, __version__="5.0.0")
    monkeypatch.setattr("skipfill.compat.encoders.hf.config.transformers", lambda: older)
    declared_keys.cache_clear()
    with pytest.raises(BadInput, match=r"that has models of type bert, found version 5\.0\.0"):
        refuse_config({"model_type": "bert"}, "model v2")
