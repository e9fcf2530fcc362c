"""Documents of the commands that make models, or show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from skipfill.store.maintenance.drop_model import Dropped
from skipfill.store.models.cards import Card


@dataclass(frozen=True)
class ModelDocument:
    """A model.

    Attributes:
        model: its card.
        fingerprint: digest of everything that decides its vectors.
    """

    model: Card
    fingerprint: str


@dataclass(frozen=True)
class ModelListDocument:
    """The models of a store.

    Attributes:
        models: their cards, by name.
    """

    models: list[Card]


@dataclass(frozen=True)
class TrainedModelDocument(ModelDocument):
    """A model that was trained or fitted.

    Attributes:
        seconds: that it took.
        notes: sentences on what the training lacked.
    """

    seconds: float
    notes: list[str]


@dataclass(frozen=True)
class AddedModelDocument(ModelDocument):
    """A model that was added from a file.

    Attributes:
        new: whether the store did not have it before.
        notes: sentences on what a hash cannot verify.
        dry_run: whether nothing was written.
    """

    new: bool
    notes: list[str]
    dry_run: bool


@dataclass(frozen=True)
class ExportedModelDocument:
    """A model that was written to a bundle.

    Attributes:
        model: its name.
        format: of the file.
        fingerprint: digest of everything that decides its vectors.
        output: path of the file.
        bytes: size of the file.
    """

    model: str
    format: Literal["bundle"]
    fingerprint: str
    output: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class DroppedModelDocument(Dropped):
    """A model that was dropped, or would be.

    Attributes:
        model: its name.
        dry_run: whether nothing was deleted.
    """

    dry_run: bool


@dataclass(frozen=True)
class EncodedDocument:
    """Items that were encoded into a file.

    Attributes:
        model: name of the model that encoded them.
        rows: how many items.
        dim: dimension of their vectors.
        space: space of their vectors.
        output: path of the file.
    """

    model: str
    rows: int
    dim: int
    space: str
    output: str


@dataclass(frozen=True)
class SettingDocument:
    """A setting of a method or encoder, for `train --set`.

    Attributes:
        name: without the name of its method or encoder.
        expected: the accepted values, in words.
        default: null where it is derived from the items.
    """

    name: str
    expected: str
    default: Any


@dataclass(frozen=True)
class MethodDocument:
    """A training method.

    Attributes:
        name: as `--method` takes it.
        summary: what it does.
        source: the paper that it comes from.
        needs: options without which it cannot be used.
        settings: those that a user can give.
    """

    name: str
    summary: str
    source: str
    needs: list[str]
    settings: list[SettingDocument]


@dataclass(frozen=True)
class EncoderDocument:
    """A kind of encoder.

    Attributes:
        name: as in `--set NAME.SETTING=VALUE`.
        any_setting: whether its settings are arguments of your own code.
        settings: those that a user can give; empty with `any_setting`.
    """

    name: str
    any_setting: bool
    settings: list[SettingDocument]


@dataclass(frozen=True)
class MethodsDocument:
    """The training methods and the encoders.

    Attributes:
        methods: for `train --method`.
        encoders: with their settings.
    """

    methods: list[MethodDocument]
    encoders: list[EncoderDocument]
