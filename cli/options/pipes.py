"""Options of commands that read rows from stdin or write rows to stdout, each named by `-`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options import OUTPUT, item_columns
from skipfill.cli.terminal.printing import show_input

if TYPE_CHECKING:
    from skipfill.compat.inference.search import StoredFiles
    from skipfill.store.parquet.formats.output import RowForm, RowOutput
    from skipfill.store.parquet.formats.standard_input import RowStream
    from skipfill.store.parquet.items import ItemColumns, Items

DASH = Path("-")
FORMS = ("arrow", "ndjson")

Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="With -o -: arrow (an Arrow IPC stream) or ndjson. Default: arrow; on a terminal, ndjson.",
        rich_help_panel=OUTPUT,
        autocompletion=completion.one_of(*FORMS),
    ),
]


@dataclass(frozen=True)
class GivenItems:
    """Items of files, or of stdin.

    Attributes:
        parts: all of the files, or chunk after chunk of stdin.
        count: how many; 0 where it is not known.
        labelled: whether they have a column of labels.
        columns: their columns.
    """

    parts: Iterable[Items]
    count: int
    labelled: bool
    columns: ItemColumns


def given_items(
    files: Sequence[Path], id_column: str, label: str, input_column: str, old_vector: str, rows: int, *, quiet: bool
) -> GivenItems:
    """Open files of items, or stdin.

    Args:
        rows: most rows of a chunk of stdin.
    """
    from skipfill.store.parquet.inputs import only_vectors_in
    from skipfill.store.parquet.items import open_items

    if not is_stdin(files):
        named = item_columns(id_column, label, input_column, files, quiet=quiet, other_than=old_vector)
        columns = replace(named, old_vector=old_vector)
        items = open_items(files, columns)
        return GivenItems([items], len(items), items.labels is not None, columns)
    stream = standard_input()
    only = "" if input_column else only_vectors_in(stream.schema, old_vector)
    show_input(only, quiet=quiet)
    columns = replace(item_columns(id_column, label, input_column or only), old_vector=old_vector)
    return GivenItems(stream.items(columns, rows), 0, label in stream.schema.names, columns)


def given_vectors(files: Sequence[Path], rows: int) -> Iterable[StoredFiles]:
    """Files of vectors, or stdin, chunk by chunk.

    Args:
        rows: most rows of a chunk of stdin.
    """
    from skipfill.store.parquet.formats.folders import item_files
    from skipfill.store.parquet.formats.recognise import open_rows
    from skipfill.store.parquet.formats.standard_input import STDIN

    if not is_stdin(files):
        return [(item_files(files), open_rows)]
    return (([STDIN], chunk) for chunk in standard_input().chunks(rows))


def is_stdin(files: Sequence[Path]) -> bool:
    """Whether the rows come from stdin.

    Raises:
        BadInput: from stdin and from files.
    """
    from skipfill.store.errors import BadInput

    if DASH in files and len(files) > 1:
        raise BadInput("-", expected="stdin alone, or files", found=f"stdin and {len(files) - 1} more")
    return DASH in files


def standard_input() -> RowStream:
    """The rows on stdin."""
    from skipfill.store.parquet.formats.standard_input import RowStream

    return RowStream.of(sys.stdin.buffer)


def refuse_engine(engine: str, files: Sequence[Path]) -> None:
    """Raise `BadInput` where machines of a cluster would have to read stdin."""
    from skipfill.store.errors import BadInput

    if engine != "local" and is_stdin(files):
        raise BadInput("--engine", expected="files, which machines of a cluster can read", found="stdin")


def output_form(output: Path | None, form: str, *, json: bool) -> RowForm:
    """The form in which rows are written: Parquet into a file.

    Raises:
        BadInput: an unknown form, one for a file, or another document on the same stdout.
    """
    from skipfill.store.errors import BadInput, unknown_name

    if form and form not in FORMS:
        raise unknown_name("format", form, FORMS, where="--format")
    if output != DASH:
        if form:
            raise BadInput("--format", expected="-o -, because files are Parquet", found=f"-o {output or 'missing'}")
        return "parquet"
    if json:
        raise BadInput("--json", expected="no other output on stdout", found="-o -")
    if form:
        return "arrow" if form == "arrow" else "ndjson"
    return "ndjson" if sys.stdout.isatty() else "arrow"


@contextmanager
def row_output(output: Path, form: RowForm) -> Iterator[RowOutput]:
    """Open an output of rows: stdout, or a new file, which appears whole or not at all."""
    from skipfill.store.parquet.formats.output import RowOutput
    from skipfill.store.storage.output_file import new_file

    if output == DASH:
        with RowOutput(sys.stdout.buffer, form) as rows:
            yield rows
        return
    with new_file(output) as file, RowOutput(file, form) as rows:
        yield rows


def corpora(paths: list[Path] | None) -> list[Path] | None:
    """The files of rows: of a BEIR folder, its documents."""
    if not paths:
        return paths
    from skipfill.store.parquet.formats.folders import corpus_of

    return [corpus_of(path) for path in paths]


def judgements(path: Path | None) -> Path | None:
    """The file of judgements: of a BEIR folder, those of its test part."""
    if path is None:
        return path
    from skipfill.store.parquet.formats.folders import judgements_of

    return judgements_of(path)
