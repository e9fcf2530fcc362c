"""The tensors that an exported model takes, what they are made of, and the encoder that takes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.hf.encoder import TOKENIZER, Hf
from skipfill.compat.encoders.images import ImageSpec
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.vectors import Vectors
from skipfill.store.parquet.items import ItemBlock

Arrays = list[NDArray[Any]]
RESAMPLING = ("nearest", "Lanczos", "bilinear", "bicubic", "box", "Hamming")
"""Pillow's filters by their numbers."""


class PipelineInput(nn.Module):
    """An encoder, and the tensors that it takes of N items.

    Attributes:
        which: prefix of the names of tensors and files; empty for the model's own encoder.
        tensors: type and shape by name; a shape has names for sizes that are free.
    """

    tensors: dict[str, tuple[str, list[str | int]]]

    def __init__(self, encoder: Encoder, which: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.which = which

    def described(self) -> dict[str, Any]:
        """The contract with the caller, as JSON values: the kind of items, and how they become the tensors."""
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """Files that the caller needs for it, by name."""
        return {}

    def arrays(self, block: ItemBlock, folder: Path) -> Arrays:
        """The tensors of a block of items, in order, made with the files in `folder`."""
        raise NotImplementedError


class VectorInput(PipelineInput):
    """Vectors as they are."""

    def __init__(self, encoder: Encoder, which: str) -> None:
        super().__init__(encoder, which)
        self.tensors = {f"{which}vector": ("float32", ["batch", encoder.settings.inputs])}

    def described(self) -> dict[str, Any]:
        return {"kind": "vector", "dim": self.encoder.settings.inputs}

    def arrays(self, block: ItemBlock, folder: Path) -> Arrays:
        return [np.asarray(block.inputs, np.float32)]

    def forward(self, vectors: Tensor) -> Tensor:
        features: Tensor = self.encoder(vectors)
        return features


class ImageInput(PipelineInput):
    """Decoded images: values from 0 to 1. What an encoder subtracts and divides by is a part of the encoder."""

    def __init__(self, encoder: Encoder, which: str) -> None:
        super().__init__(encoder, which)
        how = encoder.settings
        self._spec = (
            ImageSpec(how.size, how.size, how.channels)
            if isinstance(encoder, ConvNet)
            else ImageSpec(how.height, how.width, how.channels, how.resample, how.shortest)
        )
        spec = self._spec
        self.tensors = {f"{which}pixels": ("float32", ["batch", spec.channels, spec.height, spec.width])}

    def described(self) -> dict[str, Any]:
        spec, how = self._spec, self.encoder.settings
        mean, std = getattr(how, "mean", []), getattr(how, "std", [])
        return {
            "kind": "image",
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "decode": _decoding(spec),
            "range": [0, 1],
            "applied_by_the_model": {"mean": list(mean), "std": list(std)},
        }

    def arrays(self, block: ItemBlock, folder: Path) -> Arrays:
        return [self.encoder.prepare(block).astype(np.float32) / 255]

    def forward(self, pixels: Tensor) -> Tensor:
        if isinstance(self.encoder, Hf):
            return self.encoder.pooled(self.encoder.arguments(pixels))
        features: Tensor = self.encoder(pixels)
        return features


def _decoding(spec: ImageSpec) -> list[str]:
    """The steps from a file to the tensor, in words."""
    mode = "L" if spec.channels == 1 else "RGB"
    size = f"{spec.width} x {spec.height} pixels (width x height)"
    filtered = (
        f"with Pillow's {RESAMPLING[spec.resample]} filter"
        if spec.resample >= 0
        else "with Pillow's box filter where both sides shrink, and bicubic elsewhere"
    )
    resize = (
        f"resize the shorter side to {spec.shortest} {filtered}, then cut out the middle {size}"
        if spec.shortest
        else f"resize it to {size} {filtered}, unless it has this size"
    )
    return [
        f"open the file with Pillow; of 16-bit grey, divide the values by 257; convert it to mode {mode}",
        resize,
        "divide the bytes by 255",
        "put the channels first",
    ]


class TextInput(PipelineInput):
    """Tokens of texts, and a mask of 1 where there is a token. A text without any token attends to its first pad."""

    def __init__(self, encoder: Hf, which: str) -> None:
        super().__init__(encoder, which)
        shape: list[str | int] = ["batch", f"{which}tokens"]
        self.tensors = {f"{which}{name}": ("int64", shape) for name in ("input_ids", "attention_mask")}
        self.hf = encoder

    def described(self) -> dict[str, Any]:
        how = self.hf.settings
        return {
            "kind": "text",
            "prefix": how.prefix,
            "lower": how.lower,
            "max_length": how.max_length,
            "pad": how.pad,
            "bundle_tokenizer_sha256": how.tokenizer,
        }

    def files(self) -> dict[str, bytes]:
        return {f"{self.which}{TOKENIZER}": cut_and_padded(self.hf)}

    def arrays(self, block: ItemBlock, folder: Path) -> Arrays:
        from tokenizers import Tokenizer

        encoded = Tokenizer.from_file(str(folder / f"{self.which}{TOKENIZER}")).encode_batch(self._texts(block))
        ids = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        if not ids.shape[1]:  # a tokenizer without special tokens, of nothing but empty texts
            return [np.full((len(ids), 1), self.hf.settings.pad), np.zeros((len(ids), 1), np.int64)]
        return [ids, mask]

    def have_tokens(self, block: ItemBlock) -> NDArray[np.bool_]:
        """(N,) whether the tokenizer makes a token of each text."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.hf.files()[TOKENIZER].decode())
        tokenizer.no_padding()
        return np.array([len(one.ids) > 0 for one in tokenizer.encode_batch(self._texts(block))], np.bool_)

    def _texts(self, block: ItemBlock) -> list[str]:
        how = self.hf.settings
        return [how.prefix + (text.lower() if how.lower else text) for text in block.inputs]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        first = torch.ones_like(attention_mask[:, :1])  # a mean over no token at all is not a number
        mask = torch.cat([first, attention_mask[:, 1:]], dim=1)
        return self.hf.pooled({"input_ids": input_ids, "attention_mask": mask})


def cut_and_padded(encoder: Hf) -> bytes:
    """The tokenizer of an encoder as JSON, which cuts texts at the encoder's length and pads them on the right."""
    from tokenizers import Tokenizer

    how = encoder.settings
    tokenizer = Tokenizer.from_str(encoder.files()[TOKENIZER].decode())
    tokenizer.enable_truncation(how.max_length)
    tokenizer.enable_padding(direction="right", pad_id=how.pad, pad_token=tokenizer.id_to_token(how.pad) or "[PAD]")
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False).encode()


def _of_transformers(encoder: Any, which: str) -> PipelineInput:
    return TextInput(encoder, which) if encoder.takes == "text" else ImageInput(encoder, which)


INPUTS: dict[type[Encoder], Callable[[Any, str], PipelineInput]] = {
    Mlp: VectorInput,
    Vectors: VectorInput,
    ConvNet: ImageInput,
    Hf: _of_transformers,
}
"""Encoders whose input can be described to other programs."""
