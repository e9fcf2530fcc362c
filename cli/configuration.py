"""Options that are not on the command line: variables SKIPFILL_COMMAND_OPTION, then the nearest skipfill.toml."""

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
    """The content of a configuration file.

    Attributes:
        options: command -> parameter -> value, nested for commands of two words; click's `default_map`.
        settings: method or encoder -> field -> value. Which ones exist is known to the command that uses them.
    """

    options: dict[str, Any]
    settings: dict[str, dict[str, Any]]


def nearest_file(given: Path | None) -> Path | None:
    """`given`, or else the nearest skipfill.toml in this folder or above; None where there is none."""
    here = Path.cwd()
    candidates = (folder / FILE for folder in (here, *here.parents))
    return given or next((path for path in candidates if path.is_file()), None)


def read_configuration(path: Path, context: typer.Context) -> Configuration:
    """Read a file, its keys checked against the commands of `context` and their options.

    Raises:
        BadInput: no TOML, an unknown table or key (the nearest known ones are named), or a value of another type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
    names: set[str] = set()
    for words, command in _leaves(root, ()):
        for name, option in _options(command).items():
            variable = "_".join(("SKIPFILL", *words, name)).upper().replace("-", "_")
            names.add(variable)
            if option.envvar is None:
                option.envvar, option.show_envvar = variable, False
    prefixes = tuple(f"SKIPFILL_{name.upper()}_" for name in root.commands)
    for variable in os.environ:
        if variable.startswith(prefixes) and variable not in names:
            raise unknown_name("variable", variable, names, where="environment")


def _group(where: object, name: str, command: Any, table: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """The values of a table: tables of commands, or options of one."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return _values(f"{where}, [{name}]", command, table, context)
    values: dict[str, Any] = {}
    for key, value in table.items():
        full = f"{name}.{key}" if name else key
        if key not in inner:
            names = [f"{name}.{word}" if name else word for word in inner] + ([] if name else [SETTINGS])
            raise unknown_name("table", full, names, where=where)
        if not isinstance(value, dict):
            raise BadInput(where, expected=f"a table [{full}]", found=f"{full} = {value!r}")
        values[key] = _group(where, full, inner[key], value, context)
    return values


def _values(where: str, command: Any, table: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """The values of one command's table by their parameters."""
    options = _options(command)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in options:
            raise unknown_name("key", key, options, where=where)
        values[options[key].name] = _fitting(f"{where} {key}", options[key], value, context)
    return values


def _fitting(where: str, option: Any, value: Any, context: typer.Context) -> Any:
    """The value, if it has the option's type.

    click converts: it reads a number from a text, and a text from anything.
    """
    if option.multiple and not isinstance(value, list):
        raise BadInput(where, expected="a list", found=repr(value))
    try:
        taken = option.process_value(context, value)
    except typer.TyperException as error:
        raise BadInput(where, expected=f"what {option.opts[0]} takes", found=error.format_message()) from error
    for converted, given in zip(taken, value, strict=True) if option.multiple else [(taken, value)]:
        if not _same_kind(converted, given):
            raise BadInput(where, expected=KINDS.get(type(converted), "a text"), found=repr(given))
    return value


def _same_kind(taken: Any, given: Any) -> bool:
    """Whether conversion left the type as it was, but for whole numbers that are floats and texts that are paths."""
    if isinstance(taken, float):
        return type(given) in (int, float)
    return type(taken) is type(given) or (isinstance(taken, Path) and isinstance(given, str))


def _leaves(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, and the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*words, name))
        else:
            yield (*words, name), command


def _options(command: Any) -> dict[str, Any]:
    """The options of a command by their long names."""
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    return {param.opts[0].removeprefix("--"): param for param in options}
