"""Recipe and sources of a training, as the user gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from skipfill.compat.encoders.choice import AUTO, EncoderChoice
from skipfill.compat.settings import Range, settable
from skipfill.compat.training.loop.device import Device, Precision, has_bf16, resolved_device
from skipfill.store.errors import BadInput, Parameter
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
        precision: of the encoder; `auto` for bf16 where the hardware has it, except on vectors; f32 otherwise.
        sample, pairs: see `Schedule`.
        device: `auto` for a GPU where there is one.
        accumulate, patience: see `Schedule`.
        validation: share of the items held out to choose the epoch; 0 for none.
        settings: method or encoder -> the given fields of its settings; once resolved, all fields.
        presets: the same from a file that serves several trainings. Those of other methods and encoders have no effect.

    Raises:
        BadInput: a value of another type or out of range.
    """

    method: str
    encoder: str = AUTO
    dim: int = 0
    epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    weight_decay: float = 1e-4
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    precision: Precision = "auto"
    sample: int = 512
    pairs: int = 128
    device: Device = "auto"
    accumulate: Annotated[int, Range(1)] = 1
    validation: Annotated[float, Range(0.0, 0.9)] = 0.0
    patience: int = 0
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, limits in settable(type(self)).items():
            value = getattr(self, name)
            if not limits.accepts(value):
                raise BadInput(Parameter(name), expected=limits.expected, found=repr(value))

    def recorded(self) -> dict[str, Any]:
        """The resolved recipe as the card has it, without presets."""
        return {name: value for name, value in asdict(self).items() if name != "presets"}

    def given(self, part: str) -> dict[str, Any]:
        """The given settings of a method or encoder, by field name."""
        return {**self.presets.get(part, {}), **self.settings.get(part, {})}

    def resolved(self, kind: InputKind, choice: EncoderChoice) -> Recipe:
        """This recipe with every default filled in for a kind of input and an encoder of it.

        Raises:
            BadInput: the device is `cuda`, and there is none.
        """
        defaults = choice.kind.schedule(self.given(choice.name))
        missing = {name: value for name, value in defaults.items() if not getattr(self, name)}
        device = resolved_device(self.device)
        precision = self.precision
        if precision == "auto":
            precision = "bf16" if kind != "vector" and has_bf16(device) else "f32"
        return replace(self, encoder=str(choice), device=device, precision=precision, **missing)


@dataclass(frozen=True)
class Sources:
    """The files, gallery and models that a model is trained from.

    Attributes:
        items: files of labelled items.
        gallery: name of the stored gallery to be compatible with; empty for none.
        teacher: name of an independent model, for methods that imitate one.
        slots_of: names of models on the same simplex whose class slots are kept; their spaces can be searched.
        start_from: name of a model whose weights the training starts from; empty for random ones.
        align: files of unlabelled items of the gallery; labels in them are not used.
        hold_out: files of the queries of a later check. Training uses neither items nor stored rows with their ids.
    """

    items: Sequence[Path]
    gallery: str = ""
    teacher: str = ""
    slots_of: Sequence[str] = ()
    start_from: str = ""
    align: Sequence[Path] = ()
    hold_out: Sequence[Path] = ()
    columns: ItemColumns = ItemColumns()

    @property
    def files(self) -> list[Path]:
        """Every file that is read."""
        return [*self.items, *self.align, *self.hold_out]
