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
    """Images by the bytes of their files, and the way in which they were decoded.

    When it is full, it keeps what it has: whoever reads many items again and again in the same order would find none
    of them in a memory that drops the oldest.

    Args:
        most_bytes: of files and images together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._images: dict[tuple[Hashable, bytes], Image] = {}
        self._room = most_bytes

    def get(self, how: Hashable, file: bytes) -> Image | None:
        """The image that was put under the same two; None where none was, or there was no room."""
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
    """In the block, decode an image once, also in further such blocks inside of it."""
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
