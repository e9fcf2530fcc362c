"""skipfill schema"""

from __future__ import annotations

import json as json_format
from importlib.resources import files
from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import Json
from skipfill.cli.terminal.printing import emit, show_next, table
from skipfill.store.errors import unknown_name


def schema(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="A command, such as check or gallery show; or a file. Default: the list of schemas.",
            autocompletion=completion.schemas,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the JSON Schema of what a command prints with `--json`, or of a file.

    The schemas allow only the keys that this release prints.

    Example: skipfill schema check
    """
    from skipfill.cli.documents.guide import SchemaDocument, SchemaNameDocument, SchemaNamesDocument

    names = completion.schemas()
    if not name:
        listed = [SchemaNameDocument(one, json_format.loads(_text(one))["title"]) for one in names]
        rows = [(one.name, one.title) for one in listed]
        emit(
            SchemaNamesDocument(listed),
            as_json=json,
            show=lambda out: out.print(table(["schema", "of"], rows, wrap=["of"])),
        )
        show_next("To print one: skipfill schema NAME", quiet=False)
        return
    wanted = "-".join(name)
    if wanted not in names:
        raise unknown_name("schema", wanted, names, where="schema")
    text = _text(wanted)
    emit(SchemaDocument(wanted, json_format.loads(text)), as_json=json, show=lambda _: print(text, end=""))


def _text(name: str) -> str:
    return (files("skipfill.cli.documents") / "schemas" / f"{name}.json").read_text(encoding="utf-8")
