"""A small convolutional net, so that images work out of the box on a CPU."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from skipfill.compat.encoder import Encoder
from skipfill.compat.settings import Range
from skipfill.store.errors import BadInput
from skipfill.store.items import ItemBlock

LARGEST_SIDE = 64


@dataclass(frozen=True)
class Settings:
    """Attributes:
    size: side of the square that images are resized to, in pixels.
    channels: 1 (grey) or 3 (RGB).
    channel_width: channels of the first layer; each of the other three has twice those of the one before.
    rotation, shift, scale, shear: augmentation ranges (degrees, share of the side, share, tangent).
    """

    size: Annotated[int, Range(8)]
    channels: Literal[1, 3]
    channel_width: Annotated[int, Range(1)] = 16
    rotation: float = 10.0
    shift: float = 0.1
    scale: float = 0.15
    shear: float = 0.1


class ConvNet(Encoder):
    """Four 3x3 convolutions with batch norm, three poolings, average to 3x3. Features: 72 x channel width."""

    takes = "image"
    settings_type = Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        layers: list[nn.Module] = []
        inputs = settings.channels
        for depth in range(4):
            wide = settings.channel_width * 2**depth
            layers += [nn.Conv2d(inputs, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(2)] if depth < 3 else []
            inputs = wide
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 3-4 times faster than contiguous on CPUs without AMX
        self.width = 9 * inputs

    @classmethod
    def settings_for(cls, first: ItemBlock, given: Mapping[str, Any]) -> Settings:
        with _decoding(first, 0), Image.open(io.BytesIO(bytes(first.inputs[0]))) as image:
            side = min(max(image.size), LARGEST_SIDE)
            channels = 1 if image.mode in ("1", "L") or image.mode.startswith("I") else 3
        return Settings(**{"size": max(side, 8), "channels": channels, **given})

    @property
    def item_shape(self) -> tuple[int, ...]:
        return (self.settings.channels, self.settings.size, self.settings.size)

    def prepare(self, block: ItemBlock) -> NDArray[np.uint8]:
        prepared = np.empty((len(block.inputs), *self.item_shape), np.uint8)
        for row, data in enumerate(block.inputs):
            with _decoding(block, row):
                prepared[row] = self._pixels(bytes(data))
        return prepared

    def _pixels(self, data: bytes) -> NDArray[np.uint8]:
        side = self.settings.size
        with Image.open(io.BytesIO(data)) as opened:
            # 16-bit grey: Pillow's own conversion cuts at 255.
            deep = opened.mode.startswith("I")
            image = Image.fromarray((np.asarray(opened) / 257).clip(0, 255).astype(np.uint8)) if deep else opened
            grey = image.convert("L" if self.settings.channels == 1 else "RGB")
            if grey.size != (side, side):
                grey = grey.resize((side, side), Image.Resampling.BOX if min(grey.size) > side else None)
            pixels = np.asarray(grey, np.uint8)
        return pixels[None] if self.settings.channels == 1 else pixels.transpose(2, 0, 1)

    def augment(self, batch: Tensor) -> Tensor:
        """A random rotation, shift, scaling and shear of each image, edges repeated."""
        settings, n, device = self.settings, len(batch), batch.device
        angle = (torch.rand(n, device=device) * 2 - 1) * math.radians(settings.rotation)
        scale = 1 + (torch.rand(n, device=device) * 2 - 1) * settings.scale
        shear = (torch.rand(n, device=device) * 2 - 1) * settings.shear
        # Grid coordinates run from -1 to 1: a share of the side is twice as much there.
        shift = (torch.rand(n, 2, 1, device=device) * 2 - 1) * 2 * settings.shift
        cos, sin = angle.cos() * scale, angle.sin() * scale
        matrix = torch.stack([cos, shear - sin, sin, cos], dim=1).reshape(n, 2, 2)
        grid = affine_grid(torch.cat([matrix, shift], dim=2), list(batch.shape), align_corners=False)
        return grid_sample(batch, grid, padding_mode="border", align_corners=False)

    def forward(self, batch: Tensor) -> Tensor:
        features: Tensor = self.layers(batch.contiguous(memory_format=torch.channels_last))
        return features


@contextmanager
def _decoding(block: ItemBlock, row: int) -> Iterator[None]:
    """Turn any failure of the decoder into a `BadInput` that names the row."""
    try:
        yield
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{block.path}, row {block.rows[row]}",
            expected="an image (PNG, JPEG, ...)",
            found=f"{len(block.inputs[row])} bytes that are none",
        ) from error
