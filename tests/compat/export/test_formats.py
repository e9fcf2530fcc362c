"""Exports encode as skipfill does: every method, every map, blends, and every encoder that can be exported."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.export.inputs import INPUTS
from skipfill.compat.export.pipeline import query_pipeline
from skipfill.compat.export.registry import FORMATS
from skipfill.compat.export.verify import TOLERANCE, read_again, rows_of, verify
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.methods.registry import ADAPTERS, TRAINED
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import normalised
from tests.compat.encoders.samples import block, drawings
from tests.compat.export.models import (
    OLD,
    adapter_model,
    blended_model,
    old_network,
    random_vectors,
    sample_encoder,
    trained_model,
)

ANY = ("onnx", "safetensors")
each_format = pytest.mark.parametrize("format", ANY)


def exported_as_skipfill(model: LoadedModel, format: str, folder: Path, items: ItemBlock, space: str = "") -> Path:
    """Write the model, and compare what the folder makes of `items` with skipfill: alone, and 64 at once."""
    pipeline = query_pipeline(model, space)
    target = folder / format
    target.mkdir()
    FORMATS[format].write(pipeline, target, rows_of(items, np.arange(1, 4)))
    verified = verify(pipeline, FORMATS[format].loaded(pipeline, target), items, format=format)
    assert verified.batches == (1, 64)
    assert verified.largest_difference <= TOLERANCE
    return target


@each_format
@pytest.mark.parametrize("method", TRAINED)
def test_a_trained_method(method: str, format: str, tmp_path: Path) -> None:
    exported_as_skipfill(trained_model(method), format, tmp_path, random_vectors(70))


@each_format
@pytest.mark.parametrize("method", ADAPTERS)
def test_a_map(method: str, format: str, tmp_path: Path) -> None:
    exported_as_skipfill(adapter_model(method), format, tmp_path, random_vectors(70))


@each_format
def test_the_own_space(format: str, tmp_path: Path) -> None:
    exported_as_skipfill(trained_model("gallery"), format, tmp_path, random_vectors(70), space="v2")


BLENDS: dict[str, Callable[[], LoadedModel]] = {
    "fixed weight": lambda: blended_model(trained_model("l2"), old_network(), 0.4),
    "by certainty": lambda: blended_model(trained_model("gallery"), old_network(), None),
    "of a map": lambda: blended_model(adapter_model("ridge"), old_network(), 0.4),
}


@each_format
@pytest.mark.parametrize("blend", BLENDS)
def test_a_blend(blend: str, format: str, tmp_path: Path) -> None:
    """Both encoders take the same vector."""
    folder = exported_as_skipfill(BLENDS[blend](), format, tmp_path, random_vectors(70))
    assert [one["name"] for one in json.loads((folder / "config.json").read_text())["inputs"]] == ["vector"]


@each_format
def test_a_blend_with_vectors_that_queries_bring(format: str, tmp_path: Path) -> None:
    old = normalised(np.random.default_rng(3).normal(size=(20, OLD)).astype(np.float32))
    items = replace(random_vectors(20), old_vectors=old)
    folder = exported_as_skipfill(blended_model(adapter_model("ridge"), None, 0.4), format, tmp_path, items)
    inputs = json.loads((folder / "config.json").read_text())["inputs"]
    assert inputs[1] == {"name": "old_vector", "type": "float32", "shape": ["batch", OLD]}


@each_format
@pytest.mark.parametrize("case", ["convnet", "vectors", "hf images", "hf texts"])
def test_an_encoder(case: str, format: str, tmp_path: Path) -> None:
    encoder, items = sample_encoder(case, tmp_path)
    folder = exported_as_skipfill(trained_model("oca", encoder), format, tmp_path, items)
    config = json.loads((folder / "config.json").read_text())
    assert config["items"][0]["kind"] == encoder.takes
    assert config["output"] == {
        "name": "query_vector",
        "type": "float32",
        "shape": ["batch", OLD],
        "l2_normalised": True,
    }


def test_images_decoded_as_the_contract_says(tmp_path: Path) -> None:
    """By Pillow and numpy alone: larger files than the encoder takes."""
    import onnxruntime

    encoder, _ = sample_encoder("convnet", tmp_path)
    model, items = trained_model("l2", encoder), block(drawings(5, side=61))
    folder = exported_as_skipfill(model, "onnx", tmp_path, items)
    how = json.loads((folder / "config.json").read_text())["items"][0]
    size = (how["width"], how["height"])
    images = [Image.open(io.BytesIO(file)).convert("L").resize(size, Image.Resampling.BOX) for file in items.inputs]
    pixels = np.stack([np.asarray(image, np.float32)[None] / 255 for image in images])
    found = onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"pixels": pixels})[0]
    np.testing.assert_allclose(found, view_of_block(model, items, "old"), atol=1e-5)


@each_format
def test_a_blend_of_texts_with_two_tokenizers(format: str, tmp_path: Path) -> None:
    new, items = sample_encoder("hf texts", tmp_path / "new")
    old, _ = sample_encoder("hf texts", tmp_path / "old")
    with_prefix = old.described() | {"prefix": "q: "}
    old = type(old).rebuilt(with_prefix, old.files().__getitem__)
    model = blended_model(trained_model("l2", new), old_network(old), 0.4)
    folder = exported_as_skipfill(model, format, tmp_path, items)
    names = [one["name"] for one in json.loads((folder / "config.json").read_text())["inputs"]]
    assert names == ["input_ids", "attention_mask", "old_input_ids", "old_attention_mask"]


def test_an_encoder_of_the_users_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encoder, _ = sample_encoder("python", tmp_path)
    with pytest.raises(BadInput, match="found the encoder python, which is your own code"):
        query_pipeline(trained_model("l2", encoder))


def test_the_formulas_cover_every_step(tmp_path: Path) -> None:
    folder = exported_as_skipfill(trained_model("gallery"), "safetensors", tmp_path, random_vectors(4))
    config = json.loads((folder / "config.json").read_text())
    assert {step["op"] for step in config["steps"]} == config["formulas"].keys()
    used = {one for step in config["steps"] for role, one in step.items() if role not in ("part", "op", "of", "to")}
    assert {one for one in used if isinstance(one, str)} == config["tensors"].keys()


def test_a_difference_is_refused(tmp_path: Path) -> None:
    """One that is small for a person, and large for a runtime."""
    pipeline = query_pipeline(trained_model("l2"))
    FORMATS["safetensors"].write(pipeline, tmp_path, random_vectors(2))
    encode = FORMATS["safetensors"].loaded(pipeline, tmp_path)
    verify(pipeline, encode, random_vectors(8), format="safetensors")
    with pytest.raises(BadInput, match=r"found others, by 2\.\de-05 in a batch of 1"):
        verify(pipeline, lambda items: encode(items) + np.float32(2e-5), random_vectors(8), format="safetensors")
    with pytest.raises(BadInput, match=r"found others, by .* in a batch of 64"):
        verify(
            pipeline,
            lambda items: encode(items) * np.float32(1 + (len(items.ids) > 1)),
            random_vectors(8),
            format="safetensors",
        )
    with pytest.raises(BadInput, match="found vectors of shape"):
        verify(pipeline, lambda items: encode(items)[:, :3], random_vectors(8), format="safetensors")


@each_format
def test_a_folder_that_a_library_cannot_read_is_refused(format: str, tmp_path: Path) -> None:
    pipeline = query_pipeline(trained_model("l2"))
    FORMATS[format].write(pipeline, tmp_path, random_vectors(2))
    next(tmp_path.glob("model.*")).write_bytes(b"no model")
    with pytest.raises(BadInput, match=f"model v2, format {format}: expected an export .*, found [A-Z][A-Za-z]+: "):
        read_again(FORMATS[format], pipeline, tmp_path, format=format)


def test_only_code_of_the_users_own_is_left_out() -> None:
    assert {name for name, kind in ENCODERS.items() if kind not in INPUTS} == {"python"}
