"""Where options come from besides the command line: SKIPFILL_COMMAND_OPTION, then the nearest skipfill.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from skipfill.store.errors import BadInput, reason, unknown_name

FILE = "skipfill.toml"
SETTINGS = "set"  # tables [set.METHOD] and [set.ENCODER] belong to no option
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Configuration:
    """What a file says.

    Attributes:
        options: command -> parameter -> value, nested for commands of two words; click's `default_map`.
        settings: method or encoder -> field -> value. Which ones exist is known to the command that uses them.
    """

    options: dict[str, Any]
    settings: dict[str, dict[str, Any]]


def nearest_file(given: Path | None) -> Path | None:
    """`given`, or else the nearest skipfill.toml in this folder or above; None where there is none."""
    here = Path.cwd()
    around = (folder / FILE for folder in (here, *here.parents))
    return given or next((path for path in around if path.is_file()), None)


def read_configuration(path: Path, context: typer.Context) -> Configuration:
    """Read a file, its keys checked against the commands of `context` and their options.

    Raises:
        BadInput: no TOML, an unknown table or key (the nearest known ones are named), or a value of another type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(path, expected="a file that can be read", found=reason(error)) from error
    except ValueError as error:
        raise BadInput(path, expected="TOML", found=str(error)) from error
    settings = content.pop(SETTINGS, {})
    tables = settings.values() if isinstance(settings, dict) else [settings]
    if not all(isinstance(table, dict) for table in tables):
        raise BadInput(path, expected=f"tables such as [{SETTINGS}.oca]", found=f"{SETTINGS} = {settings!r}")
    return Configuration(_group(path, "", context.command, content, context), settings)


def listen_to_environment(root: Any) -> None:
    """Let every option be set by its variable, and refuse variables of commands that no option listens to.

    Raises:
        BadInput: such a variable; the nearest known ones are named.
    """
    known: set[str] = set()
    for words, command in _leaves(root, ()):
        for name, option in _options(command).items():
            variable = "_".join(("SKIPFILL", *words, name)).upper().replace("-", "_")
            known.add(variable)
            if option.envvar is None:
                option.envvar, option.show_envvar = variable, False
    prefixes = tuple(f"SKIPFILL_{name.upper()}_" for name in root.commands)
    for variable in os.environ:
        if variable.startswith(prefixes) and variable not in known:
            raise unknown_name("variable", variable, known, where="environment")


def _group(where: object, name: str, command: Any, table: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """The values of a table: tables of commands, or options of one."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return _values(f"{where}, [{name}]", command, table, context)
    found: dict[str, Any] = {}
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if key not in inner:
            names = [f"{name}.{one}" if name else one for one in inner] + ([] if name else [SETTINGS])
            raise unknown_name("table", full, names, where=where)
        if not isinstance(value, dict):
            raise BadInput(where, expected=f"a table [{full}]", found=f"{full} = {value!r}")
        found[key] = _group(where, full, inner[key], value, context)
    return found


def _values(where: str, command: Any, table: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    options = _options(command)
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in options:
            raise unknown_name("key", key, options, where=where)
        found[options[key].name] = _fitting(f"{where} {key}", options[key], value, context)
    return found


def _fitting(where: str, option: Any, value: Any, context: typer.Context) -> Any:
    """The value, if it is what the option takes: click would read a number from a text, and a text from anything."""
    if option.multiple and not isinstance(value, list):
        raise BadInput(where, expected="a list", found=repr(value))
    try:
        taken = option.process_value(context, value)
    except typer.TyperException as error:
        raise BadInput(where, expected=f"what {option.opts[0]} takes", found=error.format_message()) from error
    for one, given in zip(taken, value, strict=True) if option.multiple else [(taken, value)]:
        if not _same_kind(one, given):
            raise BadInput(where, expected=KINDS.get(type(one), "a text"), found=repr(given))
    return value


def _same_kind(taken: Any, given: Any) -> bool:
    if isinstance(taken, float):
        return type(given) in (int, float)
    return type(taken) is type(given) or (isinstance(taken, Path) and isinstance(given, str))


def _leaves(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*words, name))
        else:
            yield (*words, name), command


def _options(command: Any) -> dict[str, Any]:
    """Its options by their long names."""
    found = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    return {param.opts[0].removeprefix("--"): param for param in found}
