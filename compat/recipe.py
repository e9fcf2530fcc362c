"""What a training is asked for: its settings and its sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from skipfill.compat.device import has_bf16, resolved_device
from skipfill.store.items import InputKind, ItemColumns

# Epochs, batch and peak learning rate by input kind.
DEFAULTS: dict[InputKind, dict[str, Any]] = {
    "image": {"epochs": 20, "batch": 128, "lr": 3e-3},
    "vector": {"epochs": 20, "batch": 256, "lr": 1e-3},
}


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training; resolved, it is kept in the model card.

    Attributes:
        method: name in the registry.
        dim: dimension of the embedding; 0 for the method's choice.
        epochs, batch, lr: see `Schedule`; 0 for the default of the input kind.
        weight_decay, seed: see `Schedule`.
        precision: `auto`, `bf16` or `f32`.
        sample, align: see `Schedule`.
        device: `auto`, `cpu` or `cuda`.
        accumulate, patience: see `Schedule`.
        validation: share of the items held out to choose the epoch; 0 for none.
        settings: method or encoder -> the fields of its settings that are given; once resolved, all fields.
        presets: the same from a file that serves several trainings: those of other methods and encoders do nothing.
    """

    method: str
    dim: int = 0
    epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    weight_decay: float = 1e-4
    seed: int = 0
    precision: str = "auto"
    sample: int = 4096
    align: int = 128
    device: str = "auto"
    accumulate: int = 1
    validation: float = 0.0
    patience: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def given(self, part: str) -> dict[str, Any]:
        """What is given for a method or encoder."""
        return {**self.presets.get(part, {}), **self.settings.get(part, {})}

    def resolved(self, kind: InputKind) -> Recipe:
        """This recipe with every default filled in for a kind of input."""
        given = {name: value for name, value in asdict(self).items() if value}
        device = resolved_device(self.device)
        filled = Recipe(**{**DEFAULTS[kind], **given, "weight_decay": self.weight_decay, "device": device})
        if self.precision != "auto":
            return filled
        return replace(filled, precision="bf16" if kind == "image" and has_bf16(device) else "f32")


@dataclass(frozen=True)
class Sources:
    """What a model is trained from.

    Attributes:
        items: files of labelled items.
        gallery: name of the stored gallery to be compatible with; empty for none.
        teacher: name of an independent model, for methods that imitate one.
        slots_of: names of models on the same simplex whose class slots are kept; their spaces can be searched.
        start_from: name of a model whose weights the training starts from; empty for random ones.
        align: files of items of the gallery, labels not needed and not used.
        hold_out: files with ids that must not be used, neither as items nor as stored rows, because they will be
            queries of a check.
    """

    items: Sequence[Path]
    gallery: str = ""
    teacher: str = ""
    slots_of: Sequence[str] = ()
    start_from: str = ""
    align: Sequence[Path] = ()
    hold_out: Sequence[Path] = ()
    columns: ItemColumns = ItemColumns()
