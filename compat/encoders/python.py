"""The user's own network, built by the user's own function: encoder `python:module:factory`."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.compat.encoders.encoder import Encoder, Pace, ReadFile
from skipfill.compat.encoders.images import ImageSpec, natural_size, pixels
from skipfill.compat.encoders.prepared import as_float
from skipfill.compat.settings import WIDEST, Range
from skipfill.compat.trusted_code import call_text, permit, refuse_unpermitted
from skipfill.store.errors import Advice, BadInput, SkipfillError, reason
from skipfill.store.parquet.inputs import InputKind
from skipfill.store.parquet.items import ItemBlock

LARGEST_SIDE = 224


@dataclass(frozen=True)
class Settings:
    """Settings of a `Python` encoder.

    Attributes:
        factory: `module:function`; the function returns the network.
        takes: the kind of items.
        features: width of the output.
        arguments: of the factory, by name.
        size, channels: side and channels that images are brought to, unless the network prepares its items itself.
    """

    factory: str
    takes: InputKind
    features: Annotated[int, Range(0, WIDEST)] = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    size: Annotated[int, Range(0, LARGEST_SIDE)] = 0
    channels: Annotated[int, Range(0, 3)] = 0


class Python(Encoder):
    """A torch module that the user wrote, with `forward(batch) -> (N, F)`.

    The settings that a user gives are the arguments of the factory. The module may also have
        takes: the kind of items, if it is not that of the training's items.
        prepare(inputs) -> array: a row for each of a list of bytes (images) or str (texts), or of (N, F) vectors. uint8
            reaches `forward` as values from 0 to 1. Without `prepare`, images come as (channels, size, size), and
            vectors as they are.
        augment(batch) -> batch: a random variation, used in training only.
    """

    inputs = ("image", "vector", "text")
    source = "MODULE:FACTORY"
    settings_type = Settings
    at_rest = True
    any_setting = True

    def __init__(self, settings: Settings, module: nn.Module) -> None:
        super().__init__()
        self.settings = settings
        self.takes = settings.takes
        self.width = settings.features
        self.module = module
        self._code = _digests(module, settings.factory)  # now, as the files may be edited while a training runs

    @classmethod
    def pace(cls, given: Mapping[str, Any]) -> Pace:
        return Pace(epochs=20, steps=800, batch=128, lr=1e-3)

    @classmethod
    def for_items(cls, source: str, first: ItemBlock, given: Mapping[str, Any]) -> Self:
        permit(call_text(source, given))  # the user named this code for this training
        module = _build(source, given)
        takes: InputKind = getattr(module, "takes", first.kind)
        if takes not in cls.inputs:
            expected = f"an attribute takes that is one of {', '.join(cls.inputs)}"
            raise BadInput(source, expected=expected, found=repr(takes))
        settings = Settings(source, takes, arguments=dict(given))
        if takes == first.kind == "image" and not hasattr(module, "prepare"):
            side, channels = natural_size(first)
            settings = replace(settings, size=min(side, LARGEST_SIDE), channels=channels)
        encoder = cls(settings, module)
        if takes == first.kind:
            encoder._find_width(replace(first, inputs=first.inputs[:1], rows=first.rows[:1]))
        return encoder

    @classmethod
    def rebuilt(cls, described: Mapping[str, Any], read: ReadFile) -> Self:
        settings = Settings(**described)
        refuse_unpermitted(call_text(settings.factory, settings.arguments))
        return cls(settings, _build(settings.factory, settings.arguments))

    def versions(self) -> dict[str, str]:
        return self._code

    def prepare(self, block: ItemBlock) -> NDArray[Any]:
        own: Callable[[Any], Any] | None = getattr(self.module, "prepare", None)
        if own is not None:
            return self._checked(own(block.inputs), block)
        if self.takes == "image":
            return pixels(block, ImageSpec(self.settings.size, self.settings.size, self.settings.channels))
        if self.takes == "text":
            raise BadInput(self.settings.factory, expected="a method prepare(texts) -> array", found="none")
        assert not isinstance(block.inputs, list)
        return block.inputs

    def augment(self, batch: Tensor) -> Tensor:
        own: Callable[[Tensor], Tensor] | None = getattr(self.module, "augment", None)
        return batch if own is None else own(batch)

    def forward(self, batch: Tensor) -> Tensor:
        features: Tensor = self.module(batch)
        return features

    def _checked(self, prepared: Any, block: ItemBlock) -> NDArray[Any]:
        """The result of the user's `prepare`, as an array.

        Raises:
            BadInput: it has another type, or not a row for each item.
        """
        array = np.asarray(prepared)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        array = array.astype(np.int32) if array.dtype == np.int64 else array
        if array.dtype not in (np.uint8, np.float32, np.int32) or len(array) != len(block.inputs):
            raise BadInput(
                f"{self.settings.factory}, prepare",
                expected=f"an array of {len(block.inputs)} rows of uint8, float32 or int32",
                found=f"{array.dtype} of shape {array.shape}",
            )
        return array

    def _find_width(self, first: ItemBlock) -> None:
        """Find the width of the features by encoding one item.

        Raises:
            BadInput: `forward` returns anything but (N, F) floats.
        """
        self.eval()
        with torch.no_grad():
            output = self(as_float(self.prepare(first)))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 1 or not output.is_floating_point():
            shown = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise BadInput(
                f"{self.settings.factory}, forward", expected="(N, F) float features of N items", found=shown
            )
        self.width = int(output.shape[1])
        self.settings = replace(self.settings, features=self.width)


def _digests(module: nn.Module, factory: str) -> dict[str, str]:
    """The first digits of the SHA-256 of each source file that the factory or a module of its network is from."""
    names = {factory.partition(":")[0], *(type(part).__module__ for part in module.modules())}
    digests = {}
    for name in sorted(name for name in names if name.partition(".")[0] != "torch"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).is_file():
            digests[f"the code of {name}"] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
    return digests


def _build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Import `module:function`, and call the function.

    The module may be in the current folder, but an installed library of the same name comes first.

    Raises:
        BadInput: the module or function is missing or fails, or it returns no torch module.
    """
    module_name, _, function = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        factory = getattr(importlib.import_module(module_name), function)
        module = factory(**arguments)
    except SkipfillError:
        raise
    except Exception as error:  # it is the user's code: anything may be wrong with it
        raise BadInput(
            f"encoder python:{name}",
            expected="a function that returns a torch module",
            found=f"{type(error).__name__}: {reason(error)}",
            hint=Advice("show_traceback"),
        ) from error
    if not isinstance(module, nn.Module):
        raise BadInput(f"encoder python:{name}", expected="a torch module", found=type(module).__name__)
    return module
