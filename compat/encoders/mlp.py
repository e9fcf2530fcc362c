"""A perceptron over a column of precomputed features: any modality, fast on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.compat.encoders.encoder import Encoder, Pace
from skipfill.compat.settings import DERIVED, SHARE, WIDEST, Range
from skipfill.store.errors import Advice, BadInput
from skipfill.store.parquet.items import ItemBlock


@dataclass(frozen=True)
class Settings:
    """Settings of an `Mlp`.

    Attributes:
        inputs: dimension of the feature column.
        hidden: width of the hidden layer.
        dropout: share of the inputs and of the hidden units dropped in training.
    """

    inputs: Annotated[int, DERIVED, Range(1, WIDEST)]
    hidden: Annotated[int, Range(1, WIDEST)] = 512
    dropout: Annotated[float, SHARE] = 0.1


class Mlp(Encoder):
    """The scaled inputs and a hidden layer of them, so that good inputs are kept. Features: inputs + hidden."""

    inputs = ("vector",)
    takes = "vector"
    settings_type = Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.drop = nn.Dropout(settings.dropout)
        self.scale = nn.LayerNorm(settings.inputs, elementwise_affine=False)
        self.hidden = nn.Sequential(
            nn.Linear(settings.inputs, settings.hidden), nn.GELU(), nn.Dropout(settings.dropout)
        )
        self.width = settings.inputs + settings.hidden

    @classmethod
    def pace(cls, given: Mapping[str, Any]) -> Pace:
        return Pace(epochs=20, steps=800, batch=256, lr=1e-3)

    @classmethod
    def settings_for(cls, first: ItemBlock, given: Mapping[str, Any]) -> Settings:
        assert not isinstance(first.inputs, list)
        return Settings(**{"inputs": first.inputs.shape[1], **given})

    def prepare(self, block: ItemBlock) -> NDArray[np.float32]:
        return feature_rows(block, self.settings.inputs)

    def forward(self, batch: Tensor) -> Tensor:
        scaled = self.scale(batch)
        return torch.cat([scaled, self.hidden(self.drop(scaled))], dim=1)


def feature_rows(block: ItemBlock, inputs: int) -> NDArray[np.float32]:
    """(N, F) the vectors of a block.

    Raises:
        BadInput: they have another dimension than `inputs`.
    """
    assert not isinstance(block.inputs, list)
    if block.inputs.shape[1] != inputs:
        raise BadInput(
            f"{block.path}, row {block.rows[0]}",
            expected=f"features of dimension {inputs}",
            found=f"dimension {block.inputs.shape[1]}",
            hint=Advice("other_features"),
        )
    return block.inputs
