"""Decodes images, brings them to one size, and varies them at random for training."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from skipfill.compat.encoders.decoded import remembered_images
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemBlock

FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are read. Pillow reads more, but for EPS it runs Ghostscript, which runs the program in the file."""
MOST_PIXELS = 50_000_000
"""Most pixels of an image, when it is decoded and before its middle is cut out: a pixel may take 16 bytes."""


@dataclass(frozen=True)
class ImageSpec:
    """Size and channels that images are brought to.

    Attributes:
        height, width: pixels.
        channels: 1 (grey) or 3 (RGB).
        resample: Pillow's number of the filter; -1 for an average where images shrink, and Pillow's choice elsewhere.
        shortest: length that the shorter side is resized to before the middle is cut out; 0 to resize both sides.
    """

    height: int
    width: int
    channels: int
    resample: int = -1
    shortest: int = 0


def natural_size(block: ItemBlock) -> tuple[int, int]:
    """Longer side and channels (1 or 3) of the first image."""
    with decoding(block, 0), _opened(block, 0) as image:
        channels = 1 if image.mode in ("1", "L") or image.mode.startswith("I") else 3
        return max(image.size), channels


def pixels(block: ItemBlock, spec: ImageSpec) -> NDArray[np.uint8]:
    """(N, channels, height, width) bytes of a block of images.

    Raises:
        BadInput: a file is not an image, or is too large; the error names its row.
    """
    images = np.empty((len(block.inputs), spec.channels, spec.height, spec.width), np.uint8)
    remembered = remembered_images()
    for row, file in enumerate(block.inputs):
        known = None if remembered is None else remembered.get(spec, bytes(file))
        images[row] = _decoded(block, row, spec) if known is None else known
        if remembered is not None and known is None:
            remembered.put(spec, bytes(file), images[row])
    return images


def _decoded(block: ItemBlock, row: int, spec: ImageSpec) -> NDArray[np.uint8]:
    """(channels, height, width) bytes of one image."""
    with decoding(block, row), _opened(block, row) as opened:
        _refuse_large(_size_before_cut(opened.size, spec), block, row)
        values = np.asarray(_fitted(_plain(opened, spec.channels), spec), np.uint8)
        return values[None] if spec.channels == 1 else values.transpose(2, 0, 1)


@contextmanager
def _opened(block: ItemBlock, row: int) -> Iterator[Image.Image]:
    """Open an image, and check its size, which its first bytes tell, before any pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # this limit is lower than Pillow's
            image = Image.open(io.BytesIO(bytes(block.inputs[row])), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(block, row, str(error).partition(" exceeds")[0].lower()) from error
    with image:
        _refuse_large(image.size, block, row)
        yield image


def _refuse_large(size: tuple[int, int], block: ItemBlock, row: int) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise _too_large(block, row, f"{width:,} x {height:,}")


def _too_large(block: ItemBlock, row: int, found: str) -> BadInput:
    expected = f"an image of at most {MOST_PIXELS:,} pixels, before and after its shorter side is resized"
    return BadInput(_place(block, row), expected=expected, found=found)


def _place(block: ItemBlock, row: int) -> str:
    return f"{block.path}, row {block.rows[row]}"


def _plain(opened: Image.Image, channels: int) -> Image.Image:
    """The image in grey or RGB, 8 bits a channel."""
    # 16-bit grey is scaled here, because Pillow's own conversion clips it at 255.
    deep = opened.mode.startswith("I")
    image = Image.fromarray((np.asarray(opened) / np.float32(257)).clip(0, 255).astype(np.uint8)) if deep else opened
    return image.convert("L" if channels == 1 else "RGB")


def _size_before_cut(size: tuple[int, int], spec: ImageSpec) -> tuple[int, int]:
    if not spec.shortest:
        return spec.width, spec.height
    share = spec.shortest / min(size)
    return round(size[0] * share), round(size[1] * share)


def _fitted(image: Image.Image, spec: ImageSpec) -> Image.Image:
    """The image in the size of the spec."""
    if spec.shortest:
        image = _resized(image, _size_before_cut(image.size, spec), spec.resample)
        left, top = (image.width - spec.width) // 2, (image.height - spec.height) // 2
        return image.crop((left, top, left + spec.width, top + spec.height))
    return _resized(image, (spec.width, spec.height), spec.resample)


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file that can be decoded
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # about an image in an image, as in ICO
            yield
    except BadInput:
        raise
    except Exception as error:  # decoders raise errors of many types for a damaged file
        raise BadInput(
            _place(block, row),
            expected=f"an image ({', '.join(FORMATS)})",
            found=f"{len(block.inputs[row])} bytes that are not such an image",
        ) from error


def randomly_moved(batch: Tensor, *, rotation: float, shift: float, scale: float, shear: float) -> Tensor:
    """Rotate, shift, scale and shear each image at random. Edge pixels are repeated.

    Args:
        batch: (N, channels, height, width) float.
        rotation: largest angle, in degrees.
        shift: largest shift, as a share of the side.
        scale: largest change of size, as a share of it.
        shear: largest shear, as a tangent.
    """
    count = len(batch)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, device=batch.device) * 2 - 1

    angle = uniform(count) * math.radians(rotation)
    size = 1 + uniform(count) * scale
    slant = uniform(count) * shear
    # Grid coordinates run from -1 to 1: a share of the side is twice as much there.
    moved = uniform(count, 2, 1) * 2 * shift
    cos, sin = angle.cos() * size, angle.sin() * size
    matrix = torch.stack([cos, slant - sin, sin, cos], dim=1).reshape(count, 2, 2)
    grid = affine_grid(torch.cat([matrix, moved], dim=2), list(batch.shape), align_corners=False)
    return grid_sample(batch, grid, padding_mode="border", align_corners=False)
