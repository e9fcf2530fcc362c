"""The page of `--help`: the usage, the docstring, then arguments, options and commands in panels.

Typer's own page gives half of the width to the types, and cuts words where the terminal is narrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from skipfill.cli.terminal.printer import terminal_width
from skipfill.cli.terminal.wrapping import wrapped

WIDEST = 100  # longer lines of prose are hard to read
EXAMPLE = "Example: "
_CODE = re.compile(r"`([^`]+)`")
_EMPTY: tuple[object, ...] = (None, "", [], ())
"""Defaults that stand for no value: the help says what happens then."""


class HelpCommand(TyperCommand):
    """A command with this page of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        show_help(self, ctx)


class HelpGroup(TyperGroup):
    """A group of commands with this page of help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        show_help(self, ctx)


def show_help(command: Any, context: Any) -> None:
    """Print the page of a command or a group."""
    out = Console(width=min(terminal_width(), WIDEST), highlight=False, markup=False)
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    out.print(wrapped(Text(f"Usage: {_usage(command, context, parameters)}", "bold"), out.width))
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        out.print()
        for line in _paragraph(paragraph, out.width - 2).wrap(out, out.width - 2):
            out.print(Text("  ").append_text(line))
    out.print()
    rows = {panel: [(_term(one), _help(one)) for one in those] for panel, those in _in_panels(parameters).items()}
    commands = _in_command_panels(command, context)
    for panels in (commands, rows):
        widest = max((term.cell_len for those in panels.values() for term, _ in those), default=0)
        for panel, those in panels.items():
            out.print(_panel(panel, those, widest))
    if command.epilog:
        out.print()
    for line in _marked(command.epilog or "").wrap(out, out.width - 2):
        out.print(Text("  ").append_text(line))


def _usage(command: Any, context: Any, parameters: list[Any]) -> str:
    """The command line: the command's words, its arguments and the options that must be given."""
    words: list[str] = []
    parent = context
    while parent.parent is not None:
        words.insert(0, parent.info_name)
        parent = parent.parent
    required = [one for one in parameters if one.param_type_name == "option" and one.required]
    given = [
        *(_argument(one) for one in parameters if one.param_type_name == "argument"),
        *(_term(one).plain for one in required),
        "[OPTIONS]",
        *(["COMMAND ..."] if hasattr(command, "commands") else []),
    ]
    return " ".join(["skipfill", *words, *given])


def _paragraph(text: str, width: int) -> Text:
    line = " ".join(text.split())
    if line.startswith(EXAMPLE):
        return Text(f"{EXAMPLE.strip()}\n").append_text(wrapped(Text(line.removeprefix(EXAMPLE), "cyan"), width))
    return _marked(line)


def _marked(text: str) -> Text:
    """A text whose code, in backticks, has a colour instead of them."""
    made = Text()
    for number, part in enumerate(_CODE.split(text)):
        made.append(part, "cyan" if number % 2 else "")
    return made


def _in_panels(parameters: list[Any]) -> dict[str, list[Any]]:
    """Parameters by panel: the arguments first, `--help` in the last panel."""
    panels: dict[str, list[Any]] = {}
    for one in sorted(parameters, key=lambda one: (one.param_type_name != "argument", one.name == "help")):
        default = "Arguments" if one.param_type_name == "argument" else "Options"
        last = next(reversed(panels), default)
        panels.setdefault(last if one.name == "help" else one.rich_help_panel or default, []).append(one)
    return panels


def _in_command_panels(command: Any, context: Any) -> dict[str, list[tuple[Text, Text]]]:
    """Name and first sentence of each command of a group, by panel."""
    panels: dict[str, list[tuple[Text, Text]]] = {}
    for name in command.list_commands(context) if hasattr(command, "commands") else []:
        one = command.get_command(context, name)
        sentence = " ".join(cleandoc(one.help or "").split("\n\n")[0].split())
        panels.setdefault(one.rich_help_panel or "Commands", []).append((Text(name, "bold cyan"), _marked(sentence)))
    return panels


def _argument(one: Any) -> str:
    name = one.metavar or one.name.upper()
    if one.nargs != 1:
        name += "..."
    return name if one.required else f"[{name}]"


def _term(one: Any) -> Text:
    """The argument, or the option with its value: `-o, --output FILE`."""
    if one.param_type_name == "argument":
        return Text(_argument(one), "bold cyan")
    names = ", ".join(sorted(one.opts, key=len))
    names += "".join(f" / {name}" for name in one.secondary_opts)
    value = "" if one.is_flag else f" {one.metavar or one.name.upper()}"
    return Text.assemble((names, "bold cyan"), (value, "yellow"))


def _help(one: Any) -> Text:
    """Everything about a parameter: its help, its variable of the environment, its default."""
    return _marked(" ".join([one.help or "", *_facts(one)]).strip())


def _facts(one: Any) -> Iterator[str]:
    if one.param_type_name != "option":
        return
    if one.required:
        yield "Required."
    if one.envvar and one.show_envvar:
        yield f"Variable: {one.envvar}."
    if one.show_default and not one.required and not one.is_flag and one.default not in _EMPTY:
        yield f"Default: {one.default:g}." if isinstance(one.default, float) else f"Default: {one.default}."


def _panel(title: str, rows: list[tuple[Text, Text]], widest: int) -> Panel:
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True, width=widest)
    grid.add_column(ratio=1, overflow="fold")
    for term, told in rows:
        grid.add_row(term, told)
    return Panel(grid, title=Text(title, "bold"), title_align="left", border_style="dim")
