"""skipfill methods"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from skipfill.cli.options import Json
from skipfill.cli.terminal.printing import emit, table


def methods(
    settings: Annotated[
        bool, typer.Option("--settings", help="List the settings of methods and encoders, for `train --set`.")
    ] = False,
    json: Json = False,
) -> None:
    """List the training methods, or with `--settings` their settings.

    Example: skipfill methods --settings
    """
    from skipfill.compat.encoders.registry import ENCODERS
    from skipfill.compat.methods.registry import METHODS
    from skipfill.compat.settings import settable

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": kind.summary,
            "source": kind.source,
            "needs": [
                need
                for need, wanted in (("--gallery", kind.needs_gallery), ("--teacher", kind.needs_teacher))
                if wanted
            ],
            "settings": [field.described() for field in settable(kind.settings_type).values()],
        }
        for name, kind in METHODS.items()
    ]
    encoders = [
        {
            "name": name,
            "any_setting": kind.any_setting,
            "settings": [] if kind.any_setting else [one.described() for one in settable(kind.settings_type).values()],
        }
        for name, kind in ENCODERS.items()
    ]
    shown = _settings([*rows, *encoders]) if settings else _needs(rows)
    emit({"methods": rows, "encoders": encoders}, as_json=json, show=lambda out: out.print(shown))


def _needs(rows: list[dict[str, Any]]) -> Table:
    cells = [(row["name"], " ".join(row["needs"]) or "-", row["summary"]) for row in rows]
    return table(["method", "needs", "what it does"], cells, wrap=["what it does"])


def _settings(parts: list[dict[str, Any]]) -> Table:
    cells = []
    for part in parts:
        cells += [
            (f"{part['name']}.{one['name']}", _default(one["default"]), one["expected"]) for one in part["settings"]
        ]
        cells += [(f"{part['name']}.*", "", "an argument of the factory")] if part.get("any_setting") else []
    return table(["setting", "default", "takes"], cells, wrap=["takes"])


def _default(value: Any) -> str:
    """The value as `--set` takes it."""
    if value is None:
        return "by items"
    return str(value).lower() if isinstance(value, bool) else str(value)
