"""Small encoders of every kind, and items that they encode."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import as_float
from skipfill.store.parquet.items import ItemBlock

OWN = """
import torch
class Own(torch.nn.Module):
    def __init__(self, out=6):
        super().__init__()
        self.linear = torch.nn.Linear(16, out)
    def forward(self, batch):
        return self.linear(batch)
class Letters(torch.nn.Module):
    takes = "text"
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.EmbeddingBag(256, 8)
    def prepare(self, inputs):
        import numpy as np
        return np.array([[ord(letter) % 256 for letter in text[:9].ljust(9)] for text in inputs])
    def forward(self, batch):
        return self.embed(batch)
def narrow(): return Own(3)
def letters(): return Letters()
def nothing(): return 3
def broken(): raise RuntimeError("no such luck")
def flat(): return torch.nn.Flatten(0)
"""


def drawings(count: int, side: int = 28) -> list[bytes]:
    random = np.random.default_rng(0)
    files = []
    for _ in range(count):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (side, side), np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def block(inputs: Any) -> ItemBlock:
    return ItemBlock(pa.array(range(len(inputs))), inputs, np.arange(len(inputs)), Path("x"))


def resnet(folder: Path) -> str:
    from transformers import ResNetConfig

    ResNetConfig(
        num_channels=1, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    ).save_pretrained(folder / "resnet")
    return str(folder / "resnet")


def bert(folder: Path) -> str:
    """A sentence encoder of random weights over a vocabulary of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    path = folder / "bert"
    letters = {letter: number for number, letter in enumerate(["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz: "])}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=20
    ).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
    )
    BertModel(config).save_pretrained(path)
    return str(path)


def own(folder: Path) -> str:
    name = f"own_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    (folder / f"{name}.py").write_text(OWN)
    return name


CASES: dict[str, Callable[[Path], tuple[str, str, Any]]] = {
    "convnet": lambda folder: ("convnet", "", drawings(70)),
    "mlp": lambda folder: ("mlp", "", np.random.default_rng(0).normal(size=(70, 16)).astype(np.float32)),
    "vectors": lambda folder: ("vectors", "", np.random.default_rng(0).normal(size=(70, 16)).astype(np.float32)),
    "hf images": lambda folder: ("hf", resnet(folder), drawings(70)),
    "hf texts": lambda folder: ("hf", bert(folder), [chr(97 + i % 26) * (i % 9) for i in range(70)]),
    "python": lambda folder: (
        "python",
        f"{own(folder)}:Own",
        np.random.default_rng(0).normal(size=(70, 16)).astype(np.float32),
    ),
}


def encoded(encoder: Encoder, items: ItemBlock) -> np.ndarray:
    with torch.inference_mode():
        return encoder.eval()(as_float(encoder.prepare(items))).numpy()
