"""The base of all encoders: a network from prepared items to features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.store.parquet.inputs import InputKind
from skipfill.store.parquet.items import ItemBlock

MOST_EPOCHS = 200  # largest default, because each epoch writes a checkpoint
PreparedItems = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.int32]
"""(N, ...) decoded items. uint8 stands for values in [0, 1], int32 for tokens."""
ReadFile = Callable[[str], bytes]
"""Reads one file of the bundle by name, its hash verified."""


@dataclass(frozen=True)
class Pace:
    """Default length and pace of a training.

    Attributes:
        epochs: fewest passes over the items.
        steps: fewest optimizer steps. Few items are passed over more often to reach this number.
        batch: items in a step.
        lr: peak learning rate.
    """

    epochs: int
    steps: int
    batch: int
    lr: float

    def epochs_for(self, items: int, batch: int) -> int:
        """The default number of epochs for this many items in batches of this size, at most `MOST_EPOCHS`."""
        steps_of_an_epoch = max(1, math.ceil(items / batch))
        return max(self.epochs, min(math.ceil(self.steps / steps_of_an_epoch), MOST_EPOCHS))


class Encoder(nn.Module):
    """An encoder of items.

    In a training, `for_items` builds it from the first items and a source. The bundle keeps `described`, `files` and
    the weights; `rebuilt` makes the same encoder from these. Items pass through `prepare` once, through `augment` in
    training only, and through `forward`.

    Class attributes:
        inputs: the input kinds that it can be built for.
        source: form of the text that follows its name and a colon, for messages; empty where nothing follows.
        settings_type: frozen dataclass; its values are kept in the model card and rebuild the network.
        at_rest: whether it encodes well without training here, because it was trained elsewhere.
        any_setting: whether its settings are arguments of the user's own code, so that they may have any name.

    Instance attributes:
        takes: the input kind that it encodes.
        settings: an instance of `settings_type`.
        width: F, dimension of the features.
        frozen: whether training leaves its weights as they are.
        lr_share: its learning rate as a share of the head's.
        untrained: whether its source has no weights, so that they are random before a training.
    """

    inputs: ClassVar[tuple[InputKind, ...]]
    source: ClassVar[str] = ""
    settings_type: ClassVar[type[Any]]
    at_rest: ClassVar[bool] = False
    any_setting: ClassVar[bool] = False
    takes: InputKind
    settings: Any
    width: int
    frozen: bool = False
    lr_share: float = 1.0
    untrained: bool = False

    @classmethod
    def pace(cls, given: Mapping[str, Any]) -> Pace:
        """Default length and pace of a training with these settings."""
        raise NotImplementedError

    @classmethod
    def settings_for(cls, first: ItemBlock, given: Mapping[str, Any]) -> Any:
        """Settings that fit the first items, for encoders without a source; settings in `given`, by field name, win.

        Raises:
            BadInput: the first item cannot be decoded.
        """
        raise NotImplementedError

    @classmethod
    def for_items(cls, source: str, first: ItemBlock, given: Mapping[str, Any]) -> Self:
        """The encoder before training: with fresh weights, or those that `source` holds.

        Raises:
            BadInput: the first item cannot be decoded, or `source` is not what this encoder needs.
        """
        return cls(cls.settings_for(first, given))

    @classmethod
    def refuse_described(cls, settings: Any, where: str) -> None:
        """Raise `BadInput` for settings of a bundle that do not fit together, though each is within its range.

        Args:
            settings: an instance of `settings_type`.
        """

    @classmethod
    def rebuilt(cls, described: Mapping[str, Any], read: ReadFile) -> Self:
        """Build the encoder whose `described` is given, ready for the bundle's weights.

        Args:
            read: reads a file that `files` returned.
        """
        return cls(cls.settings_type(**described))

    def described(self) -> dict[str, Any]:
        """Settings as JSON values: everything that decides the features, except weights and files."""
        return asdict(self.settings)

    def files(self) -> dict[str, bytes]:
        """Files that `rebuilt` needs, by name. Their digests are among the settings."""
        return {}

    def versions(self) -> dict[str, str]:
        """Versions of the libraries, and digests of the user's own code, that decide the features as well."""
        return {}

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        """Decode a block of N items to one array of N rows: uint8 (for values in [0, 1]), float32 or int32.

        Raises:
            BadInput: an item cannot be decoded or has another shape; the error names its row.
        """
        raise NotImplementedError

    def augment(self, batch: Tensor) -> Tensor:
        """Vary (N, ...) prepared items at random, so that they keep their class; used in training only."""
        return batch

    def forward(self, batch: Tensor) -> Tensor:
        """(N, ...) prepared items -> (N, F) features."""
        raise NotImplementedError
