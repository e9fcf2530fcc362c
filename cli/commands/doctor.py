"""skipfill doctor"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skipfill.cli.advice import sentence
from skipfill.cli.commands.prune import listed
from skipfill.cli.options import Json, Store, opened
from skipfill.cli.terminal import emit, table

if TYPE_CHECKING:
    from rich.console import Console

    from skipfill.store.maintenance.doctor import Diagnosis


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every model and gallery whole, and compare the hashes.")
    ] = False,
    store: Store = None,
    json: Json = False,
) -> int:
    """Say what is wrong with the environment and the store, and what to do about it; exit 1 if anything is.

    Changes nothing. What killed runs left, and what a user without rights cannot do, is said and is nothing wrong.

    Example: skipfill doctor
    """
    from skipfill.store.maintenance.doctor import diagnose

    found = diagnose(opened(store), deep=deep)
    found = replace(found, findings=[replace(one, todo=sentence(one.todo)) for one in found.findings])
    code = 0 if found.healthy else 1
    emit(
        {"verdict": "pass" if found.healthy else "fail", **asdict(found)},
        as_json=json,
        show=lambda out: _show(out, found),
        exit_code=code,
    )
    return code


def _show(out: Console, found: Diagnosis) -> None:
    around = found.environment
    extras = {extra: ", ".join(_named(packages)) for extra, packages in around.extras.items()}
    rows = [
        ("skipfill", f"{around.skipfill}, Python {around.python}, {around.system}"),
        ("packages", ", ".join(_named(around.packages))),
        *((f"extra {extra}", packages) for extra, packages in extras.items()),
        ("store", f"{found.store}{_room(found)}"),
    ]
    out.print(table(["", ""], rows))
    for one in found.findings:
        out.print(
            Text(one.kind, "bold red" if one.kind == "problem" else "bold"),
            f"{one.where}: {one.what}",
            sentence(one.todo),
        )
    if found.leftovers:
        out.print(listed(found.leftovers))
        out.print("Left by killed runs, or being written. See: skipfill prune")
    looked = "" if found.deep else ", at a quick look: --deep reads every file"
    out.print(f"{'Nothing is' if found.healthy else 'Something is'} wrong{looked}")


def _named(packages: dict[str, str]) -> list[str]:
    return [f"{name} {found or 'not installed'}" for name, found in packages.items()]


def _room(found: Diagnosis) -> str:
    if found.free_bytes is None:
        return ""
    return f", {'writable' if found.writable else 'read-only'}, {found.free_bytes:,} bytes free"
