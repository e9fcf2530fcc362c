"""Images of a closed list of formats: a decoder must not run what a file contains."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from skipfill.compat.encoders.decoded import DecodedImages, decoding_once
from skipfill.compat.encoders.images import FORMATS, ImageSpec, natural_size, pixels
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemBlock
from tests.compat.encoders.samples import block


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 99, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(kind: str) -> None:
    images = block([saved(kind)])
    assert natural_size(images) == (16, 3)
    assert abs(pixels(images, ImageSpec(8, 8, 3)).astype(int) - 99).max() < 9


def test_no_program_is_run_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands EPS, which is a program, to Ghostscript."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    ghostscript.chmod(ghostscript.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(BadInput, match="row 0: expected an image"):
        pixels(block([saved("EPS")]), ImageSpec(8, 8, 3))
    assert not (tmp_path / "ran").exists()


def row_of(data: bytes) -> ItemBlock:
    return block([saved("PNG"), data])


def test_a_damaged_file_of_any_format_is_named_by_its_row() -> None:
    """The decoder of AVIF raises RuntimeError for some."""
    noise = np.random.default_rng(0)
    for kind in FORMATS:
        data = bytearray(saved(kind))
        for _ in range(60):
            damaged = data.copy()
            for at in noise.integers(len(data) // 3, len(data), 6):
                damaged[at] = noise.integers(256)
            with suppress(BadInput):
                pixels(row_of(bytes(damaged)), ImageSpec(8, 8, 3))


@pytest.mark.parametrize("error", [RuntimeError("Failed to decode frame 0"), MemoryError(), KeyError("x")])
def test_an_error_of_a_decoder_is_named_by_its_row(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(BadInput, match="row 0: expected an image"):
        pixels(row_of(b""), ImageSpec(8, 8, 3))


def empty_image(width: int, height: int) -> bytes:
    """A PNG whose header claims this size; nothing of it follows."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    tail = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in (head, tail)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


PLAIN, CUT = ImageSpec(8, 8, 1), ImageSpec(8, 8, 1, shortest=256)
LARGE = [((10_000, 5_001), PLAIN), ((13_300, 13_300), PLAIN), ((20_000, 20_000), PLAIN), ((60_000, 1), CUT)]


@pytest.mark.parametrize(("size", "spec"), LARGE)
def test_a_large_image_is_refused_by_its_size(size: tuple[int, int], spec: ImageSpec) -> None:
    """Before it is decoded, and in no words of the library's."""
    expected = "row 1: expected an image of at most 50,000,000 pixels, .* found ([0-9,]+ x [0-9,]+|.*pixels)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput, match=expected):
            pixels(row_of(empty_image(*size)), spec)


def test_images_are_decoded_once_while_several_models_encode_them(monkeypatch: pytest.MonkeyPatch) -> None:
    items = block([saved("PNG"), saved("JPEG")])
    small, large = ImageSpec(8, 8, 3), ImageSpec(16, 16, 1)
    expected = {spec: pixels(items, spec) for spec in (small, large)}
    opened = []
    really = Image.open
    monkeypatch.setattr(Image, "open", lambda *how, **more: opened.append(1) or really(*how, **more))
    with decoding_once():
        for spec in (small, large):
            first = pixels(items, spec)
            np.testing.assert_array_equal(first, expected[spec])
            first[:] = 0  # the remembered ones are others
        with decoding_once():
            for spec in (small, large):
                np.testing.assert_array_equal(pixels(items, spec), expected[spec])
        assert len(opened) == 4
        pixels(items, small)
        assert len(opened) == 4
    pixels(items, small)
    assert len(opened) == 6


def test_decoded_images_keep_within_their_room() -> None:
    remembered, image = DecodedImages(most_bytes=250), np.full((1, 10, 10), 7, np.uint8)
    for file in (b"1", b"2", b"3"):
        remembered.put("grey", file, image)
    assert [remembered.get("grey", file) is None for file in (b"1", b"2", b"3")] == [False, False, True]
    assert remembered.get("colour", b"1") is None
