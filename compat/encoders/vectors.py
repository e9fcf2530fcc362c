"""A column of vectors used as they are: another encoder made them, and nothing is left to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from numpy.typing import NDArray
from torch import Tensor

from skipfill.compat.encoders.encoder import Encoder, Pace
from skipfill.compat.encoders.mlp import feature_rows
from skipfill.compat.settings import DERIVED, WIDEST, Range
from skipfill.store.parquet.items import ItemBlock


@dataclass(frozen=True)
class Settings:
    """Attributes:
    inputs: dimension of the column.
    """

    inputs: Annotated[int, DERIVED, Range(1, WIDEST)]


class Vectors(Encoder):
    """Vectors of an encoder that runs elsewhere, such as an API. It has no weights."""

    inputs = ("vector",)
    takes = "vector"
    settings_type = Settings
    frozen = True
    at_rest = True

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.inputs

    @classmethod
    def pace(cls, given: Mapping[str, Any]) -> Pace:
        return Pace(epochs=20, steps=800, batch=256, lr=1e-3)

    @classmethod
    def settings_for(cls, first: ItemBlock, given: Mapping[str, Any]) -> Settings:
        assert not isinstance(first.inputs, list)
        return Settings(**{"inputs": first.inputs.shape[1], **given})

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        return feature_rows(block, self.settings.inputs)

    def forward(self, batch: Tensor) -> Tensor:
        return batch
