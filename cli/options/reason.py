"""The option for a reason, which is recorded."""

from __future__ import annotations

from typing import Annotated

import typer


def refuse_empty(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Raise `BadInput` where a reason is given but is empty: a script's variable may not be set."""
    from skipfill.store.errors import BadInput

    source = context.get_parameter_source(parameter.name or "")
    given = source is not None and source.name == "COMMANDLINE"
    if given and not (value or "").strip() and not context.resilient_parsing:
        raise BadInput(parameter.opts[0], expected="a reason, which is recorded", found="an empty one")
    return value


Reason = Annotated[
    str,
    typer.Option(metavar="TEXT", callback=refuse_empty, help="Reason to record in the history. Default: none."),
]
