"""Holds JSON that commands print, and files that they read, against the schemas that `skipfill schema` prints."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
from jsonschema.exceptions import best_match
from typer import Context
from typer.main import get_command


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """The validator of a schema by its name, such as `gallery-show`."""
    text = (files("skipfill.cli.documents") / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


@cache
def _root() -> Any:
    from skipfill.cli.app import app

    return get_command(app)


def command_of(arguments: Sequence[str]) -> str:
    """The command of a command line, such as `gallery show`; empty where there is none of this name."""
    settings: dict[str, Any] = {"resilient_parsing": True, "ignore_unknown_options": True, "allow_extra_args": True}
    _, words, _ = _root().make_parser(Context(_root(), **settings)).parse_args(args=list(arguments))
    command = _root().commands.get(words[0]) if words else None
    inner = getattr(command, "commands", None)
    if inner is None:
        return words[0] if command else ""
    return " ".join(words[:2]) if words[1:2] and words[1] in inner else ""


def refuse_invalid(name: str, value: Any) -> None:
    """Fail for a value that does not fit a schema."""
    worst = best_match(validator(name).iter_errors(value))
    assert worst is None, f"{name}: {worst.json_path if worst else ''} {str(worst)[:2000]}"


def validate_output(arguments: Sequence[str], out: str) -> None:
    """Fail for stdout of a command with `--json` that does not fit the command's schema."""
    if "--json" not in arguments or not out or {"--help", "-h", "--version"} & {*arguments}:
        return
    name = command_of(arguments).replace(" ", "-") or "error"
    for text in out.splitlines() if "--watch" in arguments else [out]:
        refuse_invalid(name, json.loads(text, parse_constant=_refused))


def validate_configuration(arguments: Sequence[str], file: Path) -> None:
    """Fail for a configuration file that a command took, and that does not fit the schema."""
    if file.is_file() and "--config" not in arguments and command_of(arguments):
        refuse_invalid("skipfill.toml", tomllib.loads(file.read_text(encoding="utf-8-sig")))


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
