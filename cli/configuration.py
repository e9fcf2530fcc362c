"""Options that are not on the command line: variables SKIPFILL_COMMAND_OPTION, then the harmless ones of a file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from skipfill.cli.terminal.help_page import HelpCommand
from skipfill.cli.terminal.printing import printer
from skipfill.store.errors import BadInput, SkipfillError, reason, unknown_name

FILE = "skipfill.toml"
LARGEST = 65_536
SETTINGS = "set"  # tables [set.METHOD] and [set.ENCODER] belong to no option
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
HARMLESS = frozenset(
    (
        *("epochs", "batch", "lr", "weight-decay", "method", "seed", "device", "precision", "threads"),
        *("validation", "patience", "accumulate", "id", "label", "input", "vector", "quiet"),
    )
)
"""Options that a file may set. Files come with folders that others made, so no other option may stand here: none that
runs code, confirms, writes to a path, chooses a store or the evidence, or makes a check accept more."""
CODE = "python"
"""The encoder whose settings are arguments of the user's own code: no file may set them."""


@dataclass(frozen=True)
class Configuration:
    """The content of a configuration file.

    Attributes:
        path: of the file; None for no file.
        not_read: a file beside the store that is not read, because there is one in this folder.
        options: command -> parameter -> value, nested for commands of two words.
        settings: method or encoder -> field -> value. Which ones exist is known to the command that uses them.
    """

    path: Path | None = None
    not_read: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.path or "no file") + (f"; {self.not_read} is not read" if self.not_read else "")


class ConfiguredCommand(HelpCommand):
    """A command whose options may come from a file. Its context has the `Configuration` as `obj`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # as for completion
            ctx.obj = _configuration(ctx, self._beside_store(ctx, args))
            ctx.default_map = _values_of(ctx.obj, ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        has_effect = ctx.default_map or ctx.obj.not_read or (SETTINGS in options_of_command(self) and ctx.obj.settings)
        if has_effect and not ctx.params.get("json"):
            out = printer(stderr=True, quiet=bool(ctx.params.get("quiet")))
            out.print(f"Options from {ctx.obj}", style="dim")
        return super().invoke(ctx)

    def _beside_store(self, context: Any, args: list[str]) -> Path | None:
        """The folder that holds the store's folder; None for a store elsewhere, and where there is no store."""
        option = options_of_command(self).get("store")
        if option is None:
            return None
        from skipfill.store.storage.location import find_root

        given, _, _ = self.make_parser(context).parse_args(args=list(args))
        try:
            root = find_root(option.consume_value(context, given)[0])
        except SkipfillError:  # a command that needs a store says so
            return None
        return Path(os.path.realpath(root)).parent if isinstance(root, Path) else None


def _configuration(context: Any, beside_store: Path | None) -> Configuration:
    """The file that the user named, or else the one in this folder, or else the one beside the store.

    Raises:
        BadInput: see `read_configuration`.
    """
    root = context.find_root()
    given: Path | None = root.params.get("config")
    folders = dict.fromkeys(folder for folder in (Path.cwd().resolve(), beside_store) if folder)
    # Unlike `Path.is_file`, this is false in a folder that may not be looked into.
    files = [Path(folder, FILE) for folder in folders if os.path.isfile(Path(folder, FILE))]  # noqa: PTH113
    if given:
        files = [given]
    return read_configuration(files[0], root, *files[1:]) if files else Configuration()


def read_configuration(path: Path, context: Any, not_read: Path | None = None) -> Configuration:
    """Read a file, its keys checked against the commands of the root's `context` and their options.

    Raises:
        BadInput: no TOML, an unknown table or key (the nearest known ones are named), an option that no file may set,
            or a value of another type.
    """
    from skipfill.store.parquet.files import refuse_no_file

    refuse_no_file(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise BadInput(path, expected=f"a file of options, of at most {LARGEST} bytes", found="a larger one")
        content = tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise BadInput(path, expected="a file that can be read", found=reason(error)) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(path, expected="TOML", found=reason(error)) from error
    settings = content.pop(SETTINGS, {})
    tables = settings.values() if isinstance(settings, dict) else [settings]
    if not all(isinstance(table, dict) for table in tables):
        raise BadInput(path, expected=f"tables such as [{SETTINGS}.oca]", found=f"{SETTINGS} = {settings!r}")
    if CODE in settings:
        raise BadInput(
            f"{path}, [{SETTINGS}.{CODE}]",
            expected="no arguments of your own code in a file",
            found=", ".join(settings[CODE]) or "a table of them",
            hint=f"Give them with --set {CODE}.NAME=VALUE, or SKIPFILL_TRAIN_SET.",
        )
    return Configuration(path, not_read, _group(path, "", context.command, content, context), settings)


def _values_of(configuration: Configuration, context: Any) -> dict[str, Any]:
    """The values of the context's command, by parameter."""
    values = configuration.options
    for word in _words(context):
        values = values.get(word, {})
    return values


def _words(context: Any) -> tuple[str, ...]:
    """The words that call the context's command, after `skipfill`."""
    return () if context.parent is None else (*_words(context.parent), context.info_name)


def listen_to_environment(root: Any) -> None:
    """Let every option be set by its variable, and refuse variables of commands that no option listens to.

    Raises:
        BadInput: such a variable; the nearest known ones are named.
    """
    names: set[str] = set()
    for words, command in _leaves(root, ()):
        for name, option in options_of_command(command).items():
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
        if key in options_of_command(command):
            raise _refused(str(where), command, key)
        if key not in inner:
            names = [f"{name}.{word}" if name else word for word in inner] + ([] if name else [SETTINGS])
            raise unknown_name("table", full, names, where=where)
        if not isinstance(value, dict):
            raise BadInput(where, expected=f"a table [{full}]", found=f"{full} = {value!r}")
        values[key] = _group(where, full, inner[key], value, context)
    return values


def _values(where: str, command: Any, table: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """The values of one command's table by their parameters."""
    options = options_of_command(command)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in options and not HARMLESS & options.keys():
            raise BadInput(where, expected="no key, because a file may set no option of this command", found=repr(key))
        if key not in options:
            raise unknown_name("key", key, HARMLESS & options.keys(), where=where)
        if key not in HARMLESS:
            raise _refused(where, command, key)
        values[options[key].name] = _fitting(f"{where} {key}", options[key], value, context)
    return values


def _refused(where: str, command: Any, key: str) -> BadInput:
    """The error for an option that no file may set."""
    options = options_of_command(command)
    harmless = ", ".join(sorted(HARMLESS & options.keys())) or "none here"
    places = [place for place in (options[key].opts[0], options[key].envvar) if place]
    kept = " What every check of a gallery requires: skipfill policy GALLERY" if command.name == "check" else ""
    return BadInput(
        where,
        expected=f"options that a file may set ({harmless})",
        found=key,
        hint=f"Give it by {' or '.join(places)}.{kept}",
    )


def _fitting(where: str, option: Any, value: Any, context: typer.Context) -> Any:
    """The value, if it has the option's type.

    click converts: it reads a number from a string, and a string from anything.
    """
    try:
        taken = option.process_value(context, value)
    except typer.TyperException as error:
        raise BadInput(where, expected=f"what {option.opts[0]} takes", found=error.format_message()) from error
    # A whole number is a number, and true is neither.
    same = type(taken) is type(value) or (type(taken) is float and type(value) is int)
    if not same:
        raise BadInput(where, expected=KINDS.get(type(taken), "a string"), found=repr(value))
    return value


def _leaves(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, and the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*words, name))
        else:
            yield (*words, name), command


def options_of_command(command: Any) -> dict[str, Any]:
    """The options of a command by their long names."""
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    return {param.opts[0].removeprefix("--"): param for param in options}
