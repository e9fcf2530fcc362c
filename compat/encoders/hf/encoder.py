"""Models of the transformers library: image models and text encoders, fine-tuned or frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.compat.encoders.encoder import Encoder, Pace, ReadFile
from skipfill.compat.encoders.hf.image import image_settings
from skipfill.compat.encoders.hf.library import transformers
from skipfill.compat.encoders.hf.settings import POOLINGS, Settings, refuse_settings
from skipfill.compat.encoders.hf.source import TransformersSource, model_from, open_transformers
from skipfill.compat.encoders.hf.text import TextTokenizer, model_inputs, text_settings
from skipfill.compat.encoders.images import ImageSpec, pixels, randomly_moved
from skipfill.compat.encoders.prepared import as_float
from skipfill.store.errors import BadInput, Parameter, unknown_name
from skipfill.store.parquet.items import ItemBlock

TOKENIZER = "tokenizer.json"
PRETRAINED_SHARE = 0.03
"""Learning rate of pretrained weights, as a share of that of the method's head."""
ENCODED_AT_ONCE = 64
"""Items, those of about one length together, so that little is padded."""
LARGEST_TOKENIZER = 1 << 26
"""Most characters of a tokenizer's file."""


class Hf(Encoder):
    """A model of transformers and a pooling. Features: as wide as the model's hidden layers, not normalised.

    Args:
        tokenizer: JSON of the `tokenizers` library; empty for images.
    """

    inputs = ("image", "text")
    source = "FOLDER_OR_NAME"
    settings_type = Settings
    at_rest = True
    mean: Tensor
    std: Tensor

    def __init__(self, settings: Settings, model: nn.Module, tokenizer: str) -> None:
        super().__init__()
        self.takes = settings.takes
        self.settings = settings
        self.frozen = settings.frozen
        self.lr_share = settings.lr_share
        self.width = settings.features
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions
        self._tokenizer = tokenizer
        if tokenizer:
            self._texts = TextTokenizer(
                tokenizer,
                words=settings.words,
                prefix=settings.prefix,
                lower=settings.lower,
                max_length=settings.max_length,
                pad=settings.pad,
            )
        self.register_buffer("mean", torch.tensor(settings.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(settings.std)[:, None, None], persistent=False)

    @classmethod
    def pace(cls, given: Mapping[str, Any]) -> Pace:
        if given.get("frozen"):
            return Pace(epochs=20, steps=800, batch=256, lr=1e-3)
        return Pace(epochs=5, steps=0, batch=32, lr=1e-3)

    @classmethod
    def for_items(cls, source: str, first: ItemBlock, given: Mapping[str, Any]) -> Self:
        opened = open_transformers(source)
        model = opened.model()
        takes = opened.takes(model)
        lr_share = PRETRAINED_SHARE if opened.trained else 1.0
        settings = Settings(takes=takes, config=opened.config, lr_share=lr_share)
        tokenizer = ""
        if takes == "image":
            settings = replace(settings, **{**image_settings(opened, first), **given})
        else:
            tokenizer, pad, longest = opened.tokenizer()
            derived = text_settings(opened, longest, given.get("max_length", 0))
            digest = hashlib.sha256(tokenizer.encode()).hexdigest()
            settings = replace(settings, **{**derived, **given}, tokenizer=digest, pad=pad)
        encoder = cls(settings, model, tokenizer)
        encoder.untrained = not opened.trained
        encoder._find_pooling_and_width(opened, replace(first, inputs=first.inputs[:1]))
        return encoder

    @classmethod
    def refuse_described(cls, settings: Settings, where: str) -> None:
        refuse_settings(settings, where)

    @classmethod
    def rebuilt(cls, described: Mapping[str, Any], read: ReadFile) -> Self:
        settings = Settings(**described)
        tokenizer = read(TOKENIZER).decode() if settings.takes == "text" else ""
        if len(tokenizer) > LARGEST_TOKENIZER:
            raise BadInput(TOKENIZER, expected=f"at most {LARGEST_TOKENIZER:,} bytes", found=f"{len(tokenizer):,}")
        if tokenizer and hashlib.sha256(tokenizer.encode()).hexdigest() != settings.tokenizer:
            raise BadInput(TOKENIZER, expected=f"SHA-256 {settings.tokenizer[:12]}...", found="another")
        encoder = cls(settings, model_from(settings.config), tokenizer)
        encoder._drop_unused()
        return encoder

    def described(self) -> dict[str, Any]:
        return asdict(self.settings)

    def files(self) -> dict[str, bytes]:
        return {TOKENIZER: self._tokenizer.encode()} if self._tokenizer else {}

    def versions(self) -> dict[str, str]:
        decoder = "tokenizers" if self.takes == "text" else "pillow"
        return {"transformers": transformers().__version__, decoder: version(decoder)}

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        if self.takes == "text":
            return self._texts.prepare(block)
        how = self.settings
        return pixels(block, ImageSpec(how.height, how.width, how.channels, how.resample, how.shortest))

    def augment(self, batch: Tensor) -> Tensor:
        if self.takes == "text":
            return batch
        how = self.settings
        return randomly_moved(batch, rotation=how.rotation, shift=how.shift, scale=how.scale, shear=how.shear)

    def forward(self, batch: Tensor) -> Tensor:
        if self.training or len(batch) <= ENCODED_AT_ONCE:
            return self._features(batch)
        lengths = batch[:, 1].sum(dim=1) if self.takes == "text" else batch.new_zeros(len(batch))
        features = batch.new_empty((len(batch), self.width), dtype=torch.float32)
        # Texts of similar length go together, because each part is padded to its longest text.
        for rows in torch.split(lengths.argsort(stable=True), ENCODED_AT_ONCE):
            features[rows] = self._features(batch[rows])
        return features

    def _features(self, batch: Tensor) -> Tensor:
        return self.pooled(self.arguments(batch))

    def pooled(self, arguments: dict[str, Tensor]) -> Tensor:
        """(N, F) features of the model's own arguments, with the pooling of the settings."""
        output = self.model(**arguments)
        if self.settings.pooling == "pooler":
            pooled: Tensor = output.pooler_output.flatten(1)
            return pooled
        last: Tensor = output.last_hidden_state
        if last.ndim == 4:  # the height and width of a convolutional net
            return last.mean(dim=(2, 3))
        if self.settings.pooling == "cls":
            return last[:, 0]
        if "attention_mask" not in arguments:
            return last.mean(dim=1)
        mask = arguments["attention_mask"][..., None].to(last.dtype)
        return (last * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)

    def arguments(self, batch: Tensor) -> dict[str, Tensor]:
        """The arguments of the model for prepared items."""
        if self.takes == "text":
            return model_inputs(batch)
        scaled = (batch - self.mean) / self.std
        return {"pixel_values": scaled.contiguous(memory_format=torch.channels_last)}

    def _find_pooling_and_width(self, source: TransformersSource, first: ItemBlock) -> None:
        """Choose the pooling, and find the width of the features by encoding one item.

        Raises:
            BadInput: an unknown pooling, or the model cannot encode the item with it.
        """
        pooling = self.settings.pooling
        if pooling and pooling not in POOLINGS:
            raise unknown_name("pooling", pooling, POOLINGS)
        batch = as_float(self.prepare(first))
        self.eval()
        try:
            with torch.no_grad():
                self.settings = replace(self.settings, pooling=pooling or self._own_pooling(source, batch))
                self._drop_unused()
                self.width = self._features(batch).shape[1]
        except (TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
            raise BadInput(
                Parameter("encoder", f"hf:{source.name}"),
                expected=f"a model that encodes one {self.takes}, with {pooling or 'its own'} pooling",
                found=f"{type(self.model).__name__}, which fails: {error}",
            ) from error
        self.settings = replace(self.settings, features=self.width)

    def _own_pooling(self, source: TransformersSource, batch: Tensor) -> str:
        """The pooling that the source's files name, or else one that the model's outputs allow."""
        if self.takes == "text":
            return source.pooling() or "mean"
        output = self.model(**self.arguments(batch))
        if any("cls_token" in name for name, _ in self.model.named_parameters()):
            return "cls"
        return "mean" if getattr(output, "pooler_output", None) is None else "pooler"

    def _drop_unused(self) -> None:
        """Remove a pooler that is not used, because its weights would have no gradient."""
        pooler = getattr(self.model, "pooler", None)
        if self.settings.pooling != "pooler" and pooler is not None and any(True for _ in pooler.parameters()):
            self.model.pooler = None
