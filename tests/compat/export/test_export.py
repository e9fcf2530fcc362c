"""`skipfill model export --format`: the whole command, its folder, and searches with what it wrote."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from skipfill.compat.serving import released
from skipfill.compat.training.blending.blend import blend_models
from skipfill.store.models.cards import load_card
from skipfill.store.storage.location import open_store
from tests.compat.inference.bundles import texts, without_witness, write_items
from tests.conftest import Skipfill, World, tree

STORE = Path(".skipfill")
RECORD = "skipfill-export.json"


def stored(path: Path | str) -> np.ndarray:
    return np.stack(pq.read_table(path).column("vector").to_pylist()).astype(np.float32)


def top_10(vectors: np.ndarray) -> list[list[str]]:
    """Ids of the ten nearest rows of gallery.parquet by inner products in double precision."""
    rows = stored("gallery.parquet").astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = np.array(pq.read_table("gallery.parquet").column("id").to_pylist())
    return ids[np.argsort(-(vectors.astype(np.float64) @ rows.T), axis=1, kind="stable")[:, :10]].tolist()


def searched(skipfill: Skipfill, gallery: str, items: Path) -> list[list[str]]:
    hits = skipfill("search", gallery, "--items", items, "-k", 10, "--json").document["hits"]
    return [[hit["id"] for hit in hits[start : start + 10]] for start in range(0, len(hits), 10)]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def by_onnx(folder: str, **tensors: np.ndarray) -> np.ndarray:
    import onnxruntime

    vectors: np.ndarray = onnxruntime.InferenceSession(f"{folder}/model.onnx").run(None, tensors)[0]
    return vectors


def test_a_released_model_as_onnx_finds_the_same_rows(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("check", "things", "v2", "--items", with_v2.known, "--gallery-items", with_v2.gallery_items, expect=None)
    skipfill("swap", "things", "v2", "--without-check", "small")
    done = skipfill("model", "export", "v2", "--format", "onnx", "--json").document
    assert (done["space"], done["dim"], done["output"], done["format"]) == ("v1", 8, "v2-onnx", "onnx")
    assert done["verified"]["batches"] == [1, 64]
    assert 0 < done["verified"]["items"] <= 16
    assert done["verified"]["largest_difference"] <= 1e-5
    assert {path.stat().st_mode & 0o777 for path in Path("v2-onnx").iterdir()} == {0o666 & ~umask()}
    vectors = by_onnx("v2-onnx", vector=stored(with_v2.heldout))
    assert top_10(vectors) == searched(skipfill, "things", with_v2.heldout)

    # The model card, as the hub reads it
    from huggingface_hub import ModelCard

    card = ModelCard.load("v2-onnx/README.md")
    assert card.data.library_name == "onnx"
    assert card.data.model_name == "v2"
    figures = {one.metric_name: one.metric_value for one in card.data.eval_results}
    report = skipfill("report", "things", "--json").document["check"]
    assert report["id"] == done["check"]
    cells = {(one["pair"], one["metric"]): one["value"]["mean"] for one in report["slices"][0]["cells"]}
    assert figures["CMC@1, queries new, gallery old"] == pytest.approx(cells["new/old", "CMC@1"], abs=1e-4)
    assert len(figures) == len(cells)


def test_an_opset_and_a_contract_for_the_caller(skipfill: Skipfill, with_v2: World) -> None:
    import onnx

    skipfill("model", "export", "v2", "--format", "onnx", "-o", "out")
    config = json.loads(Path("out/config.json").read_text())
    properties = {one.key: one.value for one in onnx.load("out/model.onnx").metadata_props}
    assert properties == {name: config[name] for name in ("model", "fingerprint", "space")}
    graph = onnx.load("out/model.onnx")
    onnx.checker.check_model(graph)
    assert {one.domain: one.version for one in graph.opset_import}[""] == config["opset"] >= 17
    shapes = {
        one.name: [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in (*graph.graph.input, *graph.graph.output)
    }
    described = {one["name"]: one["shape"] for one in (*config["inputs"], config["output"])}
    assert shapes == described
    assert config["fingerprint"] == load_card(open_store(STORE), "v2").fingerprint
    record = json.loads(Path("out", RECORD).read_text())
    assert {*record["files"], RECORD} == tree(Path("out")).keys()


def test_texts_in_every_format_find_the_same_rows(skipfill: Skipfill, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    skipfill("init")
    texts(tmp_path)
    skipfill("encode", "v1", "items.parquet", "-o", "gallery.parquet")
    skipfill("gallery", "add", "g", "gallery.parquet", "--space", "v1")
    queries = ["".join(chr(97 + (row * step) % 26) for step in range(1, 3 + row)) for row in range(12)]
    hits = searched(skipfill, "g", write_items(queries, "queries.parquet", start=100))
    notes = skipfill("model", "export", "v1", "--format", "sentence-transformers", "--json").document["warnings"]
    assert notes == []
    skipfill("model", "export", "v1", "--format", "onnx")
    assert top_10(SentenceTransformer("v1-sentence-transformers", device="cpu").encode(queries)) == hits
    encoded = Tokenizer.from_file("v1-onnx/tokenizer.json").encode_batch(queries)
    tensors = {"input_ids": [one.ids for one in encoded], "attention_mask": [one.attention_mask for one in encoded]}
    assert top_10(by_onnx("v1-onnx", **{name: np.array(rows) for name, rows in tensors.items()})) == hits
    skipfill("model", "export", "v1", "--format", "safetensors")
    assert Path("v1-safetensors/tokenizer.json").read_bytes() == Path("v1-onnx/tokenizer.json").read_bytes()


def test_a_folder_of_ones_own_is_left_alone(skipfill: Skipfill, with_v2: World) -> None:
    """An empty folder and an earlier export are replaced; a file that no export wrote is not."""
    export = ("model", "export", "v2", "--format", "safetensors", "-o", "out")
    Path("out").mkdir()
    skipfill(*export)
    first = tree(Path("out"))
    skipfill(*export)
    assert {name: data for name, data in tree(Path("out")).items() if name != RECORD} == {
        name: data for name, data in first.items() if name != RECORD
    }
    settings = Path("out/config.json").read_bytes()
    Path("out/config.json").write_text("{}")
    assert "config.json" in skipfill(*export, expect=2).err
    Path("out/config.json").write_bytes(settings)
    Path("out/notes.txt").write_text("mine")
    before = tree(Path("out"))
    error = skipfill(*export, expect=2).err
    assert "notes.txt" in error
    assert RECORD in error
    assert tree(Path("out")) == before
    Path("file").write_text("mine")
    Path("link").symlink_to("out")
    assert "found a file" in skipfill(*export[:-1], "file", expect=2).err
    assert "found a link" in skipfill(*export[:-1], "link", expect=2).err
    shutil.rmtree("out")
    Path("out", "inner").mkdir(parents=True)
    skipfill(*export)


BAD: dict[str, tuple[list[Any], str]] = {
    "format": (["v2", "--format", "onxx"], "expected a known format (nearest: onnx"),
    "view": (["v2", "--format", "onnx", "--onto", "elsewhere"], "expected a view onto the gallery's space 'elsewhere'"),
    "model": (["v3", "--format", "onnx"], "expected a known model"),
    "bundle": (["v2", "--onto", "v1"], "a bundle, which has all the model's views"),
    "vectors": (["v2", "--format", "sentence-transformers"], "found one of vectors"),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_is_written(case: str, skipfill: Skipfill, with_v2: World) -> None:
    arguments, message = BAD[case]
    before = {path.name for path in Path().iterdir()}
    error = " ".join(skipfill("model", "export", *arguments, "-o", "out", expect=2).err.split())
    assert message in error
    assert {path.name for path in Path().iterdir()} == before


@pytest.mark.parametrize(("format", "missing", "extra"), [("onnx", "onnxruntime", "onnx"), ("onnx", "onnx", "onnx")])
def test_a_library_that_is_missing(
    format: str, missing: str, extra: str, skipfill: Skipfill, with_v2: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    error = " ".join(skipfill("model", "export", "v2", "--format", format, expect=2).err.split())
    assert f"expected the library {missing}" in error
    assert re.search(rf"Install it: pip install .*\[{extra}\]'", error)
    assert not Path("v2-onnx").exists()


def test_a_model_that_re_ranks(skipfill: Skipfill, with_v2: World) -> None:
    """Its vector alone does not answer the queries; that of its own space is the second stage."""
    skipfill("swap", "things", "v2", "--rerank", 20, "--without-check", "small")
    error = " ".join(skipfill("model", "export", "v2", "--format", "safetensors", expect=2).err.split())
    assert "found a release with re-ranking 20, which compares a second vector" in error
    assert "skipfill model export v2 --onto v2" in error
    assert skipfill("model", "export", "v2", "--format", "safetensors", "--onto", "v2", "--json").document["dim"] > 8


@pytest.mark.parametrize("brought", [False, True])
def test_a_blend(brought: bool, skipfill: Skipfill, with_v2: World) -> None:
    """The released blend, with the old encoder in the bundle, or with vectors of it that the queries bring."""
    objects = open_store(STORE)
    blend_models(objects, "b", "v2", "v1", 0.4, brought=brought)
    done = skipfill("model", "export", "b", "--format", "onnx", "--json").document
    assert [one["name"] for one in done["inputs"]] == ["vector", "old_vector"][: 1 + brought]
    skipfill("swap", "things", "b", "--without-check", "small")
    given, old = stored(with_v2.heldout), {}
    if brought:
        skipfill("encode", "v1", with_v2.heldout, "-o", "old.parquet")
        old = {"old_vector": stored("old.parquet")}
    expected = released(objects, "things").encode(given, old.get("old_vector"))
    np.testing.assert_allclose(by_onnx("b-onnx", vector=given, **old), expected, atol=1e-5)
    error = " ".join(skipfill("model", "export", "b", "--format", "sentence-transformers", expect=2).err.split())
    assert "found one of vectors" in error


def test_a_model_without_witness_vectors(skipfill: Skipfill, with_v2: World) -> None:
    without_witness("v2")
    done = skipfill("model", "export", "v2", "--format", "safetensors", "--json").document
    assert "has no witness vectors" in done["warnings"][0]
    assert done["verified"]["items"] == 16


def test_a_page_without_a_check_says_so(skipfill: Skipfill, with_v2: World) -> None:
    skipfill("model", "export", "v2", "--format", "safetensors")
    page = Path("v2-safetensors/README.md").read_text()
    assert "No check has measured this model" in page
    assert "model-index" not in page


def test_the_bundle_is_still_the_default(skipfill: Skipfill, with_v2: World) -> None:
    assert skipfill("model", "export", "v2", "--json").document["format"] == "bundle"
    assert Path("v2.skipfill").is_file()
