"""Reads the image settings of a transformers model from its own files. torchvision is not needed."""

from __future__ import annotations

from typing import Any

from skipfill.compat.encoders.hf.source import TransformersSource
from skipfill.compat.encoders.images import natural_size
from skipfill.store.parquet.items import ItemBlock

LARGEST_SIDE = 224


def image_settings(source: TransformersSource, first: ItemBlock) -> dict[str, Any]:
    """Size, filter, mean and deviation, from preprocessor_config.json, else config.json, else the first image."""
    content = source.json("preprocessor_config.json")
    processor = content if isinstance(content, dict) else {}
    channels = int(source.config.get("num_channels") or 3)
    mean, std = _normalised(processor, channels)
    resample = processor.get("resample")
    return {
        **_size(processor, source.config, first),
        "channels": channels,
        "resample": -1 if resample is None else int(resample),
        "mean": mean,
        "std": std,
    }


def _size(processor: dict[str, Any], config: dict[str, Any], first: ItemBlock) -> dict[str, int]:
    """Height, width and, if the middle is cut out, the length of the shorter side before the cut."""
    side = config.get("image_size") or min(natural_size(first)[0], LARGEST_SIDE)
    size = processor.get("size") if processor.get("do_resize", True) else None
    height, width = _pair(side)
    if size is None:
        return {"height": height, "width": width}
    if isinstance(size, dict) and "shortest_edge" not in size:
        return {"height": int(size["height"]), "width": int(size["width"])}
    edge = int(size["shortest_edge"] if isinstance(size, dict) else size)
    if "crop_pct" in processor:  # of the ConvNeXt family: `size` is what remains after the cut
        shortest = edge if edge >= 384 else int(edge / float(processor["crop_pct"] or 224 / 256))
        return {"height": edge, "width": edge, "shortest": 0 if edge >= 384 else shortest}
    if not isinstance(size, dict) and not processor.get("crop_size"):
        return {"height": edge, "width": edge}
    cut = processor.get("crop_size") if processor.get("do_center_crop", True) else None
    height, width = _pair(cut) if cut else (edge, edge)
    return {"height": height, "width": width, "shortest": max(edge, height, width)}


def _pair(size: Any) -> tuple[int, int]:
    """Height and width of a size, in any of the forms that such files use."""
    if isinstance(size, dict):
        return (int(size["height"]), int(size["width"])) if "height" in size else _pair(size["shortest_edge"])
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) else (int(size), int(size))


def _normalised(processor: dict[str, Any], channels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel for values from 0 to 1, whatever range the processor itself scales to."""
    unit = 255 * float(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 255.0
    mean, std = [0.0], [1.0]
    if processor.get("do_normalize", True):
        mean, std = _list(processor.get("image_mean", 0.5)), _list(processor.get("image_std", 0.5))
    mean, std = (values * channels if len(values) == 1 else values for values in (mean, std))
    return [value / unit for value in mean], [value / unit for value in std]


def _list(value: Any) -> list[float]:
    return [float(entry) for entry in value] if isinstance(value, list | tuple) else [float(value)]
