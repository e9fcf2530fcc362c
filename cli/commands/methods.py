"""skipfill methods"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from skipfill.cli.options import Json
from skipfill.cli.terminal.printing import emit, table

if TYPE_CHECKING:
    from skipfill.cli.documents.models import EncoderDocument, MethodDocument


def methods(
    settings: Annotated[
        bool, typer.Option("--settings", help="List the settings of methods and encoders, for `train --set`.")
    ] = False,
    json: Json = False,
) -> None:
    """List the training methods, or with `--settings` their settings.

    Example: skipfill methods --settings
    """
    from skipfill.cli.documents.models import EncoderDocument, MethodDocument, MethodsDocument, SettingDocument
    from skipfill.compat.encoders.registry import ENCODERS
    from skipfill.compat.methods.registry import METHODS
    from skipfill.compat.settings import settable

    def settings_of(kind: Any) -> list[SettingDocument]:
        return [SettingDocument(one.name, one.expected, one.default) for one in settable(kind.settings_type).values()]

    every_method = [
        MethodDocument(name, kind.summary, kind.source, _needs(kind), settings_of(kind))
        for name, kind in METHODS.items()
    ]
    encoders = [
        EncoderDocument(name, kind.any_setting, [] if kind.any_setting else settings_of(kind))
        for name, kind in ENCODERS.items()
    ]
    shown = _settings(every_method, encoders) if settings else _table_of_needs(every_method)
    emit(MethodsDocument(every_method, encoders), as_json=json, show=lambda out: out.print(shown))


def _needs(kind: Any) -> list[str]:
    """The options without which a method cannot be used."""
    return [need for need, wanted in (("--gallery", kind.needs_gallery), ("--teacher", kind.needs_teacher)) if wanted]


def _table_of_needs(every_method: list[MethodDocument]) -> Table:
    cells = [(one.name, " ".join(one.needs) or "-", one.summary) for one in every_method]
    return table(["method", "needs", "what it does"], cells, wrap=["what it does"])


def _settings(every_method: list[MethodDocument], encoders: list[EncoderDocument]) -> Table:
    parts: list[MethodDocument | EncoderDocument] = [*every_method, *encoders]
    cells = [
        (f"{part.name}.{one.name}", _default(one.default), one.expected) for part in parts for one in part.settings
    ]
    cells += [(f"{one.name}.*", "", "an argument of the factory") for one in encoders if one.any_setting]
    return table(["setting", "default", "takes"], cells, wrap=["takes"])


def _default(value: Any) -> str:
    """The value as `--set` takes it."""
    if value is None:
        return "by items"
    return str(value).lower() if isinstance(value, bool) else str(value)
