"""The JSON Schema of skipfill.toml, by the options of the commands and the settings of methods and encoders."""

from __future__ import annotations

import math
from typing import Any, Literal, get_origin

from skipfill.cli.configuration import CODE, FILE, HARMLESS, SETTINGS, options_of_command
from skipfill.cli.documents.json_schema import DIALECT, PLAIN, Schema
from skipfill.cli.terminal.failure import SCHEMA_VERSION
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.settings import Field, settable


def configuration_schema(root: Any) -> Schema:
    """The schema of a configuration file.

    Args:
        root: the click group of all commands.
    """
    kinds: dict[str, Any] = {**METHODS, **ENCODERS}
    settings = {
        name: _table({one.name: _of_setting(one) for one in settable(kind.settings_type).values()})
        for name, kind in kinds.items()
        if name != CODE
    }
    tables = _of_group(root)["properties"]
    return {
        "$schema": DIALECT,
        "$id": f"urn:skipfill:{SCHEMA_VERSION}:{FILE}",
        "title": f"File {FILE}",
        "description": "Options that a file may set, in a table for each command; and settings of methods and encoders",
        **_table({**tables, SETTINGS: _table(settings)}),
    }


def _table(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _of_group(group: Any) -> Schema:
    """The tables of commands that have an option which a file may set."""
    tables = {
        name: _of_group(command) if hasattr(command, "commands") else _of_command(command)
        for name, command in group.commands.items()
    }
    return _table({name: table for name, table in tables.items() if table["properties"]})


def _of_command(command: Any) -> Schema:
    options = options_of_command(command)
    return _table({name: _of_option(options[name]) for name in sorted(HARMLESS & options.keys())})


def _of_option(option: Any) -> Schema:
    limits = {"minimum": option.min, "maximum": option.max}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return {"description": option.help, "type": PLAIN[type(option.default)], **given}


def _of_setting(setting: Field) -> Schema:
    default = {} if setting.default is None else {"default": setting.default}
    told = {"description": setting.expected, **default}
    if get_origin(setting.kind) is Literal:
        return {**told, "enum": list(setting.choices)}
    if setting.kind not in (int, float):
        return {**told, "type": PLAIN[setting.kind]}
    highest = {} if setting.range.high == math.inf else {"maximum": setting.range.high}
    return {**told, "type": PLAIN[setting.kind], "minimum": setting.range.low, **highest}
