"""Writes the card of a trained model: its network, its data, and the course of the training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import mode
from typing import Any

from skipfill.compat.inference.network import Network
from skipfill.compat.inference.provenance import versions
from skipfill.compat.methods.method import Method
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch
from skipfill.compat.training.setup import TrainingSetup
from skipfill.store.galleries.gallery import Gallery
from skipfill.store.models.cards import Card, lineage
from skipfill.store.spaces import Space, View


@dataclass(frozen=True)
class TrainedModel:
    """The result of a training.

    Attributes:
        network: encoder and head.
        log: every epoch; those of the refit come last. At least one.
    """

    network: Network
    log: list[Epoch]


def model_card(name: str, setup: TrainingSetup, trained: TrainedModel) -> Card:
    """The card of a model that is trained and not yet saved: it lists no files."""
    opened, data, method = setup.opened, setup.task.data, setup.task.method
    best = best_epoch(trained.log)
    coverage = {} if setup.coverage is None else {"coverage": asdict(setup.coverage)}
    return Card(
        name=name,
        method=setup.recipe.method,
        network=trained.network.describe(),
        dim=method.dim,
        views=_views(name, method, opened.onto),
        classes=opened.classes,
        slots=opened.slots,
        trained_labels=sorted(set(opened.labels.to_pylist())),
        trained_items=len(data.trained),
        gallery={} if opened.gallery is None else trained_against(opened.gallery),
        recipe={**setup.recipe.recorded(), "versions": versions(trained.network)},
        losses=best.losses,
        training={
            "epochs": len(trained.log),
            "best_epoch": best.epoch,
            "held_out": 0 if data.validation is None else len(data.validation),
            "processes": setup.task.processes.count,
            "threads": mode(epoch.threads for epoch in trained.log),
            "built_on": sorted(set().union(*(lineage(model.card) for model in opened.builds_on))),
            **coverage,
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def trained_against(gallery: Gallery) -> dict[str, Any]:
    """The gallery version, and the number of rows that were used: those made by its space's own model."""
    return {
        "name": gallery.name,
        "version": gallery.version.number,
        "space": gallery.space.name,
        "rows": gallery.rows.count,
    }


def _views(name: str, method: Method, onto: list[Space]) -> dict[str, View]:
    """Views onto the model's own space, the spaces that it was trained for, and through these onto earlier ones."""
    views = {name: View(method.dim)}
    for space in onto if method.view_dim else []:
        views[space.name] = View(method.view_dim)
        for earlier, view in space.views.items():
            onward = View(method.view_dim).then(view)
            if onward is not None:
                views.setdefault(earlier, onward)
    return views
