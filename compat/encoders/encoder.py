"""What an encoder is: a network from prepared items to features. One file each in `encoders/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.store.parquet.items import InputKind, ItemBlock

# Gives one file of the bundle by name, its hash verified.
ReadFile = Callable[[str], bytes]


class Encoder(nn.Module):
    """Base of the encoders.

    Class attributes:
        inputs: the input kinds that it can be built for.
        source: what follows its name and a colon where an encoder is chosen, for messages; empty for nothing.
        settings_type: frozen dataclass; its values are kept in the model card and rebuild the network.
        any_setting: whether names that `settings_type` does not know are for the user's own code to judge.

    Instance attributes:
        takes: the input kind it encodes.
        settings: what it was built with.
        width: F, dimension of the features.
        frozen: whether training leaves its weights as they are.
        lr_share: its learning rate as a share of the head's.
    """

    inputs: ClassVar[tuple[InputKind, ...]]
    source: ClassVar[str] = ""
    settings_type: ClassVar[type[Any]]
    any_setting: ClassVar[bool] = False
    takes: InputKind
    settings: Any
    width: int
    frozen: bool = False
    lr_share: float = 1.0

    @classmethod
    def schedule(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Default epochs, batch and peak learning rate of a training with these settings."""
        raise NotImplementedError

    @classmethod
    def settings_for(cls, first: ItemBlock, given: Mapping[str, Any]) -> Any:
        """Settings that fit the first items, for encoders without a source; `given` ones, by field name, win.

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
    def rebuilt(cls, described: Mapping[str, Any], read: ReadFile) -> Self:
        """The encoder that `described` and `files` told of, ready for the bundle's weights."""
        return cls(cls.settings_type(**described))

    def described(self) -> dict[str, Any]:
        """Settings as JSON values: everything but the weights that decides the features."""
        return asdict(self.settings)

    def files(self) -> dict[str, bytes]:
        """What `rebuilt` needs besides the settings, by file name; its digests are among the settings."""
        return {}

    def versions(self) -> dict[str, str]:
        """Libraries, and digests of the user's own code, that decide the features too: as they are now."""
        return {}

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        """Decode a block of items to one array, a row for each: uint8 (read as [0, 1]), float32 or int32.

        Raises:
            BadInput: an item cannot be decoded or has another shape; the error names its row.
        """
        raise NotImplementedError

    def augment(self, batch: Tensor) -> Tensor:
        """A random variation of prepared items that keeps their class; used in training only."""
        return batch

    def forward(self, batch: Tensor) -> Tensor:
        """(N, ...) prepared items -> (N, F) features."""
        raise NotImplementedError


PreparedItems = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.int32]
