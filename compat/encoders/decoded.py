"""Remembers decoded images while several models encode the same items, so that each file is decoded once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 128 * 1024**2
Image = NDArray[np.uint8]


class DecodedImages:
    """Decoded images, by the bytes of their files and the way in which they were decoded.

    When it is full, it keeps the images that it has. If it dropped the oldest ones, a reader that goes through many
    items again and again in the same order would never find an image.

    Args:
        most_bytes: most bytes of files and images together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._images: dict[tuple[Hashable, bytes], Image] = {}
        self._room = most_bytes

    def get(self, how: Hashable, file: bytes) -> Image | None:
        """The image of this file, decoded in the same way; None if it was not put, or found no room."""
        return self._images.get((how, file))

    def put(self, how: Hashable, file: bytes, image: Image) -> None:
        """Keep a copy of the image, if there is room."""
        size = len(file) + image.nbytes
        if size <= self._room:
            self._room -= size
            self._images[how, file] = image.copy()


_remembered: ContextVar[DecodedImages | None] = ContextVar("remembered", default=None)


@contextmanager
def decoding_once() -> Iterator[None]:
    """In the block, decode each image once. Blocks inside of it use the same memory."""
    if _remembered.get() is not None:
        yield
        return
    token = _remembered.set(DecodedImages())
    try:
        yield
    finally:
        _remembered.reset(token)


def remembered_images() -> DecodedImages | None:
    """The images of the surrounding `decoding_once`; None outside of it."""
    return _remembered.get()
