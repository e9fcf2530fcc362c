"""How an image model of transformers wants its images, read from its own files: torchvision is not needed."""

from __future__ import annotations

from typing import Any

from skipfill.compat.encoders.hf.source import TransformersSource
from skipfill.compat.encoders.images import natural_size
from skipfill.store.parquet.items import ItemBlock

LARGEST_SIDE = 224


def image_settings(source: TransformersSource, first: ItemBlock) -> dict[str, Any]:
    """Size, filter, mean and deviation: by preprocessor_config.json, else by config.json, else by the first image."""
    found = source.json("preprocessor_config.json")
    found = found if isinstance(found, dict) else {}
    channels = int(source.config.get("num_channels") or 3)
    mean, std = _normalised(found, channels)
    return {
        **_size(found, source.config, first),
        "channels": channels,
        "resample": int(found.get("resample", -1) if found.get("resample") is not None else -1),
        "mean": mean,
        "std": std,
    }


def _size(found: dict[str, Any], config: dict[str, Any], first: ItemBlock) -> dict[str, int]:
    side = config.get("image_size") or min(natural_size(first)[0], LARGEST_SIDE)
    size = found.get("size") if found.get("do_resize", True) else None
    height, width = _pair(side)
    if size is None:
        return {"height": height, "width": width}
    if isinstance(size, dict) and "shortest_edge" not in size:
        return {"height": int(size["height"]), "width": int(size["width"])}
    edge = int(size["shortest_edge"] if isinstance(size, dict) else size)
    if "crop_pct" in found:  # of the ConvNeXt family: `size` is what remains after the cut
        shortest = edge if edge >= 384 else int(edge / float(found["crop_pct"] or 224 / 256))
        return {"height": edge, "width": edge, "shortest": 0 if edge >= 384 else shortest}
    if not isinstance(size, dict) and not found.get("crop_size"):
        return {"height": edge, "width": edge}
    cut = found.get("crop_size") if found.get("do_center_crop", True) else None
    height, width = _pair(cut) if cut else (edge, edge)
    return {"height": height, "width": width, "shortest": max(edge, height, width)}


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        return (int(size["height"]), int(size["width"])) if "height" in size else _pair(size["shortest_edge"])
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) else (int(size), int(size))


def _normalised(found: dict[str, Any], channels: int) -> tuple[list[float], list[float]]:
    """For values from 0 to 1, whatever factor the processor brings bytes to its own range with."""
    unit = 255 * float(found.get("rescale_factor", 1 / 255)) if found.get("do_rescale", True) else 255.0
    mean, std = [0.0], [1.0]
    if found.get("do_normalize", True):
        mean, std = _list(found.get("image_mean", 0.5)), _list(found.get("image_std", 0.5))
    mean, std = (one * channels if len(one) == 1 else one for one in (mean, std))
    return [value / unit for value in mean], [value / unit for value in std]


def _list(value: Any) -> list[float]:
    return [float(one) for one in value] if isinstance(value, list | tuple) else [float(value)]
