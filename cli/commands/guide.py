"""skipfill guide"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from skipfill.cli.guide.registry import ALSO, TOPICS, page
from skipfill.cli.options import Json
from skipfill.cli.terminal.printing import emit, show_next, table
from skipfill.store.errors import unknown_name

WIDEST = 100  # longer lines of prose are hard to read


def guide(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC", help="Page to read. Default: the list of pages.", autocompletion=lambda: list(TOPICS)
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show a page of the guide; if the output is redirected, as Markdown.

    Example: skipfill guide gate
    """
    from skipfill.cli.documents.guide import PageDocument, TopicDocument, TopicsDocument

    if topic is None:
        rows = [(name, summary) for name, summary in TOPICS.items()]
        emit(
            TopicsDocument([TopicDocument(name, summary) for name, summary in rows]),
            as_json=json,
            show=lambda out: out.print(table(["topic", "about"], rows, wrap=["about"])),
        )
        show_next("To read one: skipfill guide TOPIC", quiet=False)
        return
    topic = ALSO.get(topic, topic)
    if topic not in TOPICS:
        raise unknown_name("topic", topic, TOPICS, where="guide")
    text = page(topic)
    emit(PageDocument(topic, text), as_json=json, show=lambda _: _read(text))


def _read(text: str) -> None:
    """Show a page through the user's pager, or print it as it is where stdout is not a terminal."""
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown  # 30 ms, which no other command needs

    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text), width=min(console.width, WIDEST))
