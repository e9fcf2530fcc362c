"""Settings of the encoder `hf`, as a training makes them and a bundle keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from skipfill.compat.encoders.hf.config import LARGEST_SIDE, MOST_CHANNELS, MOST_TOKENS, MOST_WORDS, refuse_config
from skipfill.compat.settings import DERIVED, WIDEST, Range
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.parquet.inputs import InputKind

POOLINGS = ("mean", "cls", "pooler")
LONGEST_PREFIX = 4096


@dataclass(frozen=True)
class Settings:
    """Settings of an `Hf` encoder.

    Attributes:
        takes: `image` or `text`.
        config: of the model, as transformers has it.
        features: width of the output.
        pooling: how the last layer becomes one vector: `mean` over tokens or places, `cls` (the first token), or
            `pooler` (the model's own).
        frozen: whether only the head is trained.
        lr_share: learning rate of the model as a share of the head's; 0.03 for trained weights, 1 for random ones.
        prefix: text that is put before each text.
        lower: whether texts are put in lower case.
        max_length: tokens after which a text is cut.
        tokenizer, pad: SHA-256 of the tokenizer, and the token that fills up short texts.
        height, width, channels, resample, shortest: see `ImageSpec`.
        mean, std: for each channel, the value to subtract and the value to divide by; pixels are from 0 to 1.
        rotation, shift, scale, shear: augmentation ranges of images, see `randomly_moved`.
    """

    takes: Annotated[InputKind, DERIVED]
    config: Annotated[dict[str, Any], DERIVED]
    features: Annotated[int, DERIVED, Range(0, WIDEST)] = 0
    pooling: str = ""
    frozen: bool = False
    lr_share: float = 1.0
    prefix: str = ""
    lower: bool = False
    max_length: Annotated[int, Range(0, MOST_TOKENS)] = 0
    tokenizer: Annotated[str, DERIVED] = ""
    pad: Annotated[int, DERIVED, Range(0, MOST_WORDS)] = 0
    height: Annotated[int, Range(0, LARGEST_SIDE)] = 0
    width: Annotated[int, Range(0, LARGEST_SIDE)] = 0
    channels: Annotated[int, Range(0, MOST_CHANNELS)] = 0
    resample: Annotated[int, Range(-1, 5)] = -1
    shortest: Annotated[int, Range(0, LARGEST_SIDE)] = 0
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    rotation: float = 10.0
    shift: float = 0.1
    scale: float = 0.15
    shear: float = 0.1

    @property
    def words(self) -> int:
        """Size of the vocabulary of a text model."""
        words: int = self.config.get("vocab_size") or MOST_WORDS
        return words


def refuse_settings(settings: Settings, where: str) -> None:
    """Raise `BadInput` for settings of a bundle that do not fit together, though each is within its range."""
    refuse_config(settings.config, where)
    if settings.pooling not in POOLINGS:
        raise unknown_name("pooling", settings.pooling[:80], POOLINGS, where=where)
    if settings.takes == "image" and not len(settings.mean) == len(settings.std) == settings.channels > 0:
        raise BadInput(where, expected="one mean and one std for each channel", found="another number of them")
    if settings.takes == "image" and not (settings.height and settings.width):
        raise BadInput(where, expected="a height and a width", found="none")
    if settings.takes == "text" and not (settings.max_length and len(settings.prefix) <= LONGEST_PREFIX):
        raise BadInput(
            where,
            expected=f"a max_length above 0, and a prefix of at most {LONGEST_PREFIX:,} characters",
            found=f"max_length {settings.max_length}, and a prefix of {len(settings.prefix):,}",
        )
    if settings.pad >= settings.words:
        raise BadInput(where, expected="a padding token of the model's vocabulary", found=str(settings.pad))
