"""Rate at which a model encodes items, measured on a sample of them."""

from __future__ import annotations

import time

import numpy as np

from skipfill.compat.inference.load import LoadedModel
from skipfill.store.parquet.items import ItemBlock, Items
from skipfill.store.releases.backfill_cost import EncodeRate

SAMPLE = 256
AT_LEAST = 0.5
"""Seconds: a shorter time says more about the clock than about the model."""


def measured_rate(model: LoadedModel, items: Items) -> EncodeRate:
    """Encode the first 256 items, once to warm up, and then again until half a second has passed.

    Preparing the inputs (decoding of images, tokens) counts; reading the file does not.

    Raises:
        BadInput: the items are not of the kind that the model encodes.
    """
    model.refuse_other_items(items)
    sample = _first(items)
    count = sum(len(block.ids) for block in sample)
    _encode(model, sample)
    encoded, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < AT_LEAST:
        _encode(model, sample)
        encoded += count
    return EncodeRate(encoded, seconds)


def _encode(model: LoadedModel, sample: list[ItemBlock]) -> None:
    for block in sample:
        model.embed(block)


def _first(items: Items) -> list[ItemBlock]:
    """Blocks that hold the first items, and nothing else; the files are read no further."""
    missing = min(SAMPLE, len(items))
    blocks = []
    for block in items.restricted(np.arange(len(items)) < SAMPLE).blocks():
        blocks.append(block)
        missing -= len(block.ids)
        if missing == 0:
            break
    return blocks
