"""What an encoder is: a network from prepared items to features. One file each in `encoders/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.store.items import InputKind, ItemBlock


class Encoder(nn.Module):
    """Base of the encoders.

    Class attributes:
        takes: the input kind it encodes.
        settings_type: frozen dataclass; its values are kept in the model card and rebuild the network.

    Instance attributes:
        settings: what it was built with.
        width: F, dimension of the features.
    """

    takes: ClassVar[InputKind]
    settings_type: ClassVar[type[Any]]
    settings: Any
    width: int

    @classmethod
    def settings_for(cls, first: ItemBlock, given: Mapping[str, Any]) -> Any:
        """Settings that fit the first items; `given` ones, by field name, win.

        Raises:
            BadInput: the first item cannot be decoded.
        """
        raise NotImplementedError

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one prepared item."""
        raise NotImplementedError

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        """Decode a block of items to (N, *item_shape), uint8 or float32.

        Raises:
            BadInput: an item cannot be decoded or has another shape; the error names its row.
        """
        raise NotImplementedError

    def augment(self, batch: Tensor) -> Tensor:
        """A random variation of prepared float items that keeps their class; used in training only."""
        return batch

    def forward(self, batch: Tensor) -> Tensor:
        """(N, *item_shape) prepared items -> (N, F) features."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Settings as JSON values."""
        return asdict(self.settings)


PreparedItems = NDArray[np.uint8] | NDArray[np.float32]
