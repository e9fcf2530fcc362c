"""Witness items: fixed texts, drawn images, seeded vectors. A bundle keeps its model's embeddings of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.images import natural_size
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix

VECTORS = 16
SEED = 7_119_105
LARGEST_SIDE = 256
# Upper case, accents, digits, scripts, spaces and length: each is where tokenizers and prefixes differ.
TEXTS = (
    "",
    "a",
    "query: how do I get my money back?",
    "How do I get my money back?",
    "HOW DO I GET MY MONEY BACK?",
    "The quick brown fox jumps over the lazy dog.",
    "Ça coûte 1 234,50 € à Évreux, naïve façade; Straße, smörgåsbord, İstanbul.",
    "e\u0301 is e with an accent, and so is \u00e9; \ufb01ne \u2460 \u00bd",
    "3.14159 2,718,281 0x1F 2024-02-29T23:59:59Z +49 (0)30 901820",
    "東京は日本の首都です。北京是中国的首都。",
    "Москва — столица России; ελληνικά γράμματα.",
    "القاهرة عاصمة مصر. ירושלים",
    "🙂 👩\u200d👩\u200d👧 🇯🇵 ✅",
    " spaced\tout\n\n  te\u200bxt\u0007, \u00a0non\u00adbreaking ",
    "def f(x): return {'a': x[0] ** 2}  # <html>&amp;</html> [SEP] </s>",
    "one word after another, until no encoder reads on " * 60,
)


def witness_items(like: ItemBlock) -> ItemBlock:
    """Up to 16 items, the same ones every time.

    Args:
        like: items of the kind wanted. Their dimension, or the size and mode of the first image, is all that is
            taken from them.
    """
    if like.kind == "vector":
        assert not isinstance(like.inputs, list)
        return fixed_vectors(like.inputs.shape[1])
    return fixed_texts() if like.kind == "text" else fixed_images(*natural_size(like))


def fixed_items(encoder: Encoder) -> ItemBlock:
    """Items that an encoder takes, without an example of them."""
    if encoder.takes == "vector":
        return fixed_vectors(encoder.settings.inputs)
    return fixed_texts() if encoder.takes == "text" else fixed_images(LARGEST_SIDE, 3)


def fixed_vectors(dim: int) -> ItemBlock:
    return as_block(np.random.default_rng(SEED).normal(size=(VECTORS, dim)).astype(np.float32))


def fixed_texts() -> ItemBlock:
    return as_block(list(TEXTS))


def as_block(inputs: list[Any] | Matrix) -> ItemBlock:
    return ItemBlock(pa.array(range(len(inputs))), inputs, np.arange(len(inputs)), Path("witness"))


def fixed_images(side: int, channels: int) -> ItemBlock:
    """PNG files of the given size and mode, and some of others."""
    side = min(max(side, 8), LARGEST_SIDE)
    modes = ("L", "RGB") if channels == 1 else ("RGB", "L")
    found = [_png(image.convert(modes[0])) for image in _patterns(side, side)]
    found.append(_png(_patterns(side + side // 2, side)[0].convert(modes[1])))
    see_through = _patterns(side, side + 3)[2].convert("RGBA")
    see_through.putalpha(96)
    deep = Image.fromarray(np.linspace(0, 65_535, side * side).reshape(side, side).astype(np.uint16))
    return as_block([*found, _png(see_through), _png(deep)])


def _patterns(width: int, height: int) -> list[Image.Image]:
    """RGB: strokes, coarse noise, gradients, fine noise."""
    random = np.random.default_rng(SEED)
    strokes = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(strokes)
    for colour in ("black", "red", "blue", "green"):
        points = random.random((4, 2)) * (width, height)
        pen.line([(float(x), float(y)) for x, y in points], fill=colour, width=max(1, width // 16))
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    small = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
    fine = random.integers(0, 256, (height, width), np.uint8)
    return [
        strokes,
        small.resize((width, height), Image.Resampling.NEAREST),
        Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype(np.uint8)),
        Image.fromarray(fine).convert("RGB"),
    ]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
