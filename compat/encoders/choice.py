"""Which encoder a training uses: the one asked for, or the first that takes the items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.store.errors import Advice, BadInput, Parameter, unknown_name
from skipfill.store.parquet.items import Items

AUTO = "auto"


@dataclass(frozen=True)
class EncoderChoice:
    """Attributes:
    name: in the registry.
    source: what followed it: a folder, a name, a factory; empty for encoders that need none.
    """

    name: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}:{self.source}" if self.source else self.name

    @property
    def kind(self) -> type[Encoder]:
        return ENCODERS[self.name]

    def new(self, items: Items, given: Mapping[str, Any]) -> Encoder:
        """The encoder before training.

        Args:
            given: settings by field name, found fit, that override what is derived from the items and the source.

        Raises:
            BadInput: see `Encoder.for_items`; or it encodes another kind of item.
        """
        encoder = self.kind.for_items(self.source, next(items.blocks()), given)
        if encoder.takes != items.kind:
            raise BadInput(
                Parameter("encoder", self),
                expected=f"{items.kind}s to encode, as in column {items.input_column} of {items.where}",
                found=f"an encoder of {encoder.takes}s",
                hint=Advice("other_input"),
            )
        return encoder


def chosen_encoder(asked: str, items: Items) -> EncoderChoice:
    """Read `auto`, `NAME` or `NAME:SOURCE`.

    Raises:
        BadInput: an unknown encoder, a source missing or too many, items of a kind that it does not encode, or no
            built-in encoder for them.
    """
    name, _, source = asked.partition(":")
    if asked == AUTO:
        name = next((one for one, kind in ENCODERS.items() if items.kind in kind.inputs and not kind.source), "")
        if not name:
            raise BadInput(
                f"{items.where}, column {items.input_column}",
                expected=f"an encoder of {items.kind}s",
                found="none named, and none built in",
                hint=Advice("name_encoder"),
            )
    if name not in ENCODERS:
        raise unknown_name("encoder", name, [AUTO, *ENCODERS])
    kind = ENCODERS[name]
    if bool(kind.source) != bool(source):
        raise BadInput(
            Parameter("encoder"),
            expected=f"{name}:{kind.source}" if kind.source else name,
            found=asked,
        )
    if items.kind not in kind.inputs:
        raise BadInput(
            Parameter("encoder", asked),
            expected=f"items with a column of {' or '.join(f'{one}s' for one in kind.inputs)}",
            found=f"{items.kind}s in column {items.input_column} of {items.where}",
            hint=Advice("other_input"),
        )
    return EncoderChoice(name, source)
