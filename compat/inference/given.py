"""Items that a program gives, instead of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.inference.load import LoadedModel
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import ItemBlock

Given = Sequence[str] | Sequence[bytes] | Sequence[dict[str, Any]] | NDArray[np.floating]
"""N texts, N encoded images, each alone or as `{"bytes": ...}`, or an (N, F) matrix of features."""


def given_block(given: Given, model: LoadedModel, where: str) -> ItemBlock:
    """Items as a block; its ids and rows are counted from 0.

    Args:
        given: N of what the model encodes, N at least 1.
        where: what they are, for messages.

    Raises:
        BadInput: they are something else.
    """
    block, takes = _block(given, model.card.name, where), model.network.encoder.takes
    if block.kind != takes:
        raise BadInput(where, expected=f"{takes}s, which model {model.card.name} encodes", found=f"{block.kind}s")
    return block


def _block(given: Given, model: str, where: str) -> ItemBlock:
    rows, path = np.arange(len(given)), Path(where)
    if isinstance(given, np.ndarray):
        if given.ndim != 2 or given.dtype.kind != "f" or not np.isfinite(given).all():
            raise BadInput(
                where,
                expected="an (N, F) matrix of finite floats",
                found=f"{given.dtype} of shape {given.shape}",
            )
        return ItemBlock(pa.array(rows), given.astype(np.float32, copy=False), rows, path)
    images = [one["bytes"] for one in given if isinstance(one, dict) and isinstance(one.get("bytes"), bytes)]
    if images and len(images) == len(given):  # structs, as of images in Parquet files
        return ItemBlock(pa.array(rows), images, rows, path)
    kinds = {type(one) for one in given}
    if isinstance(given, str | bytes) or kinds not in ({str}, {bytes}):
        raise BadInput(
            where,
            expected=f"a list of texts or of images as bytes, or a matrix, as model {model} encodes",
            found=f"{type(given).__name__} of {', '.join(sorted(kind.__name__ for kind in kinds))}",
        )
    return ItemBlock(pa.array(rows), list(given), rows, path)
