"""Images as encoders take them: decoded, brought to one size, and varied in training."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemBlock


@dataclass(frozen=True)
class ImageSpec:
    """What an image is brought to.

    Attributes:
        height, width: pixels.
        channels: 1 (grey) or 3 (RGB).
        resample: Pillow's number of the filter; -1: averaged when it gets smaller, Pillow's choice otherwise.
        shortest: the shorter side is resized to this and the middle cut out; 0: both sides are resized, as it comes.
    """

    height: int
    width: int
    channels: int
    resample: int = -1
    shortest: int = 0


def natural_size(block: ItemBlock) -> tuple[int, int]:
    """Longer side and channels (1 or 3) of the first image."""
    with decoding(block, 0), Image.open(io.BytesIO(bytes(block.inputs[0]))) as image:
        channels = 1 if image.mode in ("1", "L") or image.mode.startswith("I") else 3
        return max(image.size), channels


def pixels(block: ItemBlock, look: ImageSpec) -> NDArray[np.uint8]:
    """(N, channels, height, width) of a block of images.

    Raises:
        BadInput: a file is no image; the error names its row.
    """
    found = np.empty((len(block.inputs), look.channels, look.height, look.width), np.uint8)
    for row, data in enumerate(block.inputs):
        with decoding(block, row), Image.open(io.BytesIO(bytes(data))) as opened:
            image = _fitted(_plain(opened, look.channels), look)
            values = np.asarray(image, np.uint8)
            found[row] = values[None] if look.channels == 1 else values.transpose(2, 0, 1)
    return found


def _plain(opened: Image.Image, channels: int) -> Image.Image:
    # 16-bit grey: Pillow's own conversion cuts at 255.
    deep = opened.mode.startswith("I")
    image = Image.fromarray((np.asarray(opened) / 257).clip(0, 255).astype(np.uint8)) if deep else opened
    return image.convert("L" if channels == 1 else "RGB")


def _fitted(image: Image.Image, look: ImageSpec) -> Image.Image:
    size = (look.width, look.height)
    if look.shortest:
        share = look.shortest / min(image.size)
        image = _resized(image, (round(image.width * share), round(image.height * share)), look.resample)
        left, top = (image.width - look.width) // 2, (image.height - look.height) // 2
        return image.crop((left, top, left + look.width, top + look.height))
    return _resized(image, size, look.resample)


def _resized(image: Image.Image, size: tuple[int, int], resample: int) -> Image.Image:
    if image.size == size:
        return image
    if resample >= 0:
        return image.resize(size, Image.Resampling(resample))
    return image.resize(size, Image.Resampling.BOX if min(image.size) > max(size) else None)


@contextmanager
def decoding(block: ItemBlock, row: int) -> Iterator[None]:
    """Turn any failure of the decoder into a `BadInput` that names the row."""
    try:
        yield
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{block.path}, row {block.rows[row]}",
            expected="an image (PNG, JPEG, ...)",
            found=f"{len(block.inputs[row])} bytes that are none",
        ) from error


def randomly_moved(batch: Tensor, *, rotation: float, shift: float, scale: float, shear: float) -> Tensor:
    """A random rotation, shift, scaling and shear of each image, edges repeated.

    Args:
        batch: (N, channels, height, width) float.
        rotation: at most this, in degrees.
        shift: at most this share of the side.
        scale: at most this share bigger or smaller.
        shear: at most this tangent.
    """
    n, device = len(batch), batch.device
    angle = (torch.rand(n, device=device) * 2 - 1) * math.radians(rotation)
    size = 1 + (torch.rand(n, device=device) * 2 - 1) * scale
    slant = (torch.rand(n, device=device) * 2 - 1) * shear
    # Grid coordinates run from -1 to 1: a share of the side is twice as much there.
    moved = (torch.rand(n, 2, 1, device=device) * 2 - 1) * 2 * shift
    cos, sin = angle.cos() * size, angle.sin() * size
    matrix = torch.stack([cos, slant - sin, sin, cos], dim=1).reshape(n, 2, 2)
    grid = affine_grid(torch.cat([matrix, moved], dim=2), list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, padding_mode="border", align_corners=False)
