"""Chooses the encoder of a training: the named one, or the first built-in one that takes the items."""

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
    """An encoder by name, not built yet.

    Attributes:
        name: name in the registry.
        source: the text after the name and a colon: a folder, a name, a factory; empty for encoders without a source.
        at_rest: whether nothing will train it, so that it must encode well as it is.
    """

    name: str
    source: str
    at_rest: bool = False

    def __str__(self) -> str:
        return f"{self.name}:{self.source}" if self.source else self.name

    @property
    def kind(self) -> type[Encoder]:
        """The class of the encoder."""
        return ENCODERS[self.name]

    def new(self, items: Items, given: Mapping[str, Any]) -> Encoder:
        """Build the encoder, not trained yet.

        Args:
            given: checked settings by field name. They override those derived from the items and the source.

        Raises:
            BadInput: see `Encoder.for_items`; the encoder takes another kind of item; or it has random weights that
                nothing will train.
        """
        encoder = self.kind.for_items(self.source, next(items.blocks()), given)
        if encoder.takes != items.kind:
            raise BadInput(
                Parameter("encoder", self),
                expected=f"{items.kind}s to encode, as in column {items.input_column} of {items.where}",
                found=f"an encoder of {encoder.takes}s",
                hint=Advice("other_input"),
            )
        if self.at_rest and encoder.untrained:
            raise BadInput(
                Parameter("encoder", self),
                expected="an encoder that is trained already",
                found="a config without weights, which would be random",
                hint=Advice("encoder_at_rest"),
            )
        return encoder


def chosen_encoder(text: str, items: Items, *, at_rest: bool = False) -> EncoderChoice:
    """Read `auto`, `NAME` or `NAME:SOURCE`.

    Args:
        at_rest: whether nothing will train it, so that it must encode well as it is.

    Raises:
        BadInput: an unknown encoder; a missing source, or one that the encoder does not take; items of a kind that it
            does not encode; no built-in encoder for them; or one that must be trained, with `at_rest`.
    """
    name, _, source = text.partition(":")
    if text == AUTO:
        built_in = [
            known
            for known, kind in ENCODERS.items()
            if items.kind in kind.inputs and not kind.source and (kind.at_rest or not at_rest)
        ]
        name = built_in[0] if built_in else ""
        if not name:
            raise BadInput(
                f"{items.where}, column {items.input_column}",
                expected=f"an encoder of {items.kind}s",
                found="none: no built-in encoder takes them",
                hint=Advice("name_encoder"),
            )
    if name not in ENCODERS:
        raise unknown_name("encoder", name, [AUTO, *ENCODERS])
    kind = ENCODERS[name]
    if at_rest and not kind.at_rest:
        raise BadInput(
            Parameter("encoder", text),
            expected="an encoder that is trained already",
            found="one that would stay random, because a closed-form method does not train it",
            hint=Advice("encoder_at_rest"),
        )
    if bool(kind.source) != bool(source):
        raise BadInput(
            Parameter("encoder"),
            expected=f"{name}:{kind.source}" if kind.source else name,
            found=text,
        )
    if items.kind not in kind.inputs:
        raise BadInput(
            Parameter("encoder", text),
            expected=f"items with a column of {' or '.join(f'{taken}s' for taken in kind.inputs)}",
            found=f"{items.kind}s in column {items.input_column} of {items.where}",
            hint=Advice("other_input"),
        )
    return EncoderChoice(name, source, at_rest)
