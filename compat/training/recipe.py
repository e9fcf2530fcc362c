"""Recipe and sources of a training, as the user gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from skipfill.compat.encoders.choice import AUTO, EncoderChoice
from skipfill.compat.settings import Range, settable
from skipfill.compat.training.loop.device import Device, Precision, has_bf16, resolved_device
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.schedule import Schedule
from skipfill.compat.training.loop.threads import MOST_THREADS
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.parquet.inputs import InputKind
from skipfill.store.parquet.items import ItemColumns


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training; resolved, it is kept in the model card.

    Attributes:
        method: name in the registry.
        encoder: `auto`, or as `chosen_encoder` reads it.
        dim: dimension of the embedding; 0 for the method's choice.
        epochs: passes over the items; 0 for the encoder's default for this many items, see `Pace`.
        batch, lr: see `Schedule`; 0 for the encoder's default.
        weight_decay, seed: see `Schedule`.
        precision: of the encoder; `auto` for bf16 where the hardware has it, except on vectors; f32 otherwise.
        sample, pairs: see `Schedule`.
        device: `auto` for a GPU where there is one.
        accumulate, patience, threads: see `Schedule`.
        validation: share of the items held out to choose the epoch; 0 for none.
        settings: method or encoder -> the given fields of its settings; once resolved, all fields.
        presets: the same, from a file that serves several trainings. Presets of other methods and encoders have no
            effect.

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
    threads: Annotated[int, Range(0, MOST_THREADS)] = 0
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

    def resolved(self, kind: InputKind, choice: EncoderChoice, items: int) -> Recipe:
        """This recipe with every default filled in, for this number and kind of items and this encoder.

        Raises:
            BadInput: the device is `cuda`, and torch sees no GPU.
        """
        pace = choice.kind.pace(self.given(choice.name))
        batch = self.batch or pace.batch
        epochs = self.epochs or pace.epochs_for(self._trained(items), batch)
        device = resolved_device(self.device)
        precision = self.precision
        if precision == "auto":
            precision = "bf16" if kind != "vector" and has_bf16(device) else "f32"
        return replace(
            self,
            encoder=str(choice),
            epochs=epochs,
            batch=batch,
            lr=self.lr or pace.lr,
            device=device,
            precision=precision,
        )

    def schedule(self, items: int, processes: Processes) -> Schedule:
        """The schedule of this resolved recipe.

        Args:
            items: number of items, including those held out.

        Raises:
            BadInput: batches, or the items that are left to train on, are too few for batch norm; or patience without
                items held out.
        """
        if self.patience and not self.validation:
            raise BadInput(
                Parameter("patience"),
                expected="items held out to judge the epochs by",
                found="none",
                hint=Advice("hold_out_share"),
            )
        fewest = 2 * self.accumulate * processes.count
        each = f", two in each of {fewest // 2} parts" if fewest > 2 else ""
        for name, size in (("batch", self.batch), ("items", self._trained(items))):
            if size < fewest and (fewest > 2 or name == "batch"):
                raise BadInput(
                    Parameter(name),
                    expected=f"at least {fewest} items{each}: batch norm has no variance over one",
                    found=str(size),
                )
        return Schedule(**{field.name: getattr(self, field.name) for field in fields(Schedule)})

    def _trained(self, items: int) -> int:
        """The number of items to train on; the others are held out to choose the epoch."""
        return round(items * (1 - self.validation))


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
