"""What a training is asked for: its settings and its sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from skipfill.compat.encoders.choice import AUTO, EncoderChoice
from skipfill.compat.training.loop.device import has_bf16, resolved_device
from skipfill.store.parquet.inputs import InputKind
from skipfill.store.parquet.items import ItemColumns


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training; resolved, it is kept in the model card.

    Attributes:
        method: name in the registry.
        encoder: `auto`, or as `chosen_encoder` reads it.
        dim: dimension of the embedding; 0 for the method's choice.
        epochs, batch, lr: see `Schedule`; 0 for the encoder's default.
        weight_decay, seed: see `Schedule`.
        precision: `auto`, `bf16` or `f32`.
        sample, pairs: see `Schedule`.
        device: `auto`, `cpu` or `cuda`.
        accumulate, patience: see `Schedule`.
        validation: share of the items held out to choose the epoch; 0 for none.
        settings: method or encoder -> the fields of its settings that are given; once resolved, all fields.
        presets: the same from a file that serves several trainings: those of other methods and encoders do nothing.
    """

    method: str
    encoder: str = AUTO
    dim: int = 0
    epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    weight_decay: float = 1e-4
    seed: int = 0
    precision: str = "auto"
    sample: int = 512
    pairs: int = 128
    device: str = "auto"
    accumulate: int = 1
    validation: float = 0.0
    patience: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """The resolved recipe as the card has it: what served other trainings is no part of this one."""
        return {name: value for name, value in asdict(self).items() if name != "presets"}

    def given(self, part: str) -> dict[str, Any]:
        """What is given for a method or encoder."""
        return {**self.presets.get(part, {}), **self.settings.get(part, {})}

    def resolved(self, kind: InputKind, choice: EncoderChoice) -> Recipe:
        """This recipe with every default filled in for a kind of input and an encoder of it."""
        default = choice.kind.schedule(self.given(choice.name))
        missing = {name: value for name, value in default.items() if not getattr(self, name)}
        device = resolved_device(self.device)
        filled = replace(self, encoder=str(choice), device=device, **missing)
        if self.precision != "auto":
            return filled
        return replace(filled, precision="bf16" if kind != "vector" and has_bf16(device) else "f32")


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
