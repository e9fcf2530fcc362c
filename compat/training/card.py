"""What a model's card says of its training."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from skipfill.compat.methods.method import Method
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.epoch_log import Epoch
from skipfill.compat.training.sources import OpenedSources
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.models.files import trained_ids
from skipfill.store.parquet.ids import union
from skipfill.store.spaces import Space, View
from skipfill.store.storage.object_store import ObjectStore


def trained_against(gallery: Gallery) -> dict[str, Any]:
    """What was trained against: the rows by the space's own model, which are all but those of a mixed gallery."""
    return {
        "name": gallery.name,
        "version": gallery.version.number,
        "space": gallery.space.name,
        "rows": gallery.rows.count,
    }


def training_story(data: TrainingData, log: list[Epoch], best: int, processes: Processes) -> dict[str, Any]:
    """How a training went."""
    held_out = 0 if data.validation is None else len(data.validation)
    return {"epochs": len(log), "best_epoch": best, "held_out": held_out, "processes": processes.count}


def seen_ids(objects: ObjectStore, opened: OpenedSources) -> pa.Array:
    """Ids that can be no queries of a check: trained on, labelled or not, by it or what it is made from."""
    parts = [opened.items.ids]
    if opened.align is not None:
        parts.append(opened.align.ids)
    parts += [trained_ids(objects, one.card) for one in (opened.teacher, opened.start) if one is not None]
    return union(parts)


def views_of(name: str, method: Method, onto: list[Space]) -> dict[str, View]:
    """Onto its own space, those it was made for, and through these onto the ones before them."""
    views = {name: View(method.dim)}
    for space in onto if method.view_dim else []:
        views[space.name] = View(method.view_dim)
        for earlier, view in space.views.items():
            views.setdefault(earlier, View(method.view_dim).then(view))
    return views
