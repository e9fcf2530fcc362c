"""skipfill search"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from skipfill.cli.options import (
    BlendedVector,
    GalleryName,
    IdColumn,
    InputColumn,
    Json,
    Quiet,
    Store,
    VectorColumn,
    opened,
)
from skipfill.cli.options.check import OldInput
from skipfill.cli.options.engine import EngineName, RayAddress, UseCache, cache_of, engine_of
from skipfill.cli.options.pipes import (
    DASH,
    Format,
    given_items,
    given_vectors,
    is_stdin,
    output_form,
    refuse_engine,
    row_output,
)
from skipfill.cli.options.reranking import Keep, ReleasedCandidates, RerankSearch, RowItems, kind_of_candidates
from skipfill.cli.terminal.printing import emit, show_next, table
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.compat.inference.search import SearchResult

SHOWN = 20
QUERIES_AT_ONCE = 16_384
"""Queries from a pipe that are searched in one pass over the gallery."""


def search(
    gallery: GalleryName,
    items: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Queries to encode with the model in use: Parquet, JSON lines, Arrow, or - for stdin. Repeatable. "
            "Default: none, with --vectors.",
        ),
    ] = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Query vectors in the gallery's own space, in files of the same kinds. Repeatable. Default: none, "
            "with --items.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Rows to find for each query.")] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Parquet file for the hits, which must not exist; or - for stdout. Default: the terminal.",
        ),
    ] = None,
    id_column: IdColumn = "id",
    vector: VectorColumn = "vector",
    input_column: InputColumn = "",
    old_vector: BlendedVector = "",
    old_input: OldInput = "",
    rerank: RerankSearch = None,
    candidates: ReleasedCandidates = "",
    gallery_items: RowItems = None,
    keep: Keep = False,
    form: Format = "",
    engine: EngineName = "local",
    address: RayAddress = "",
    cache: UseCache = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search a gallery with items, or with vectors of its own space.

    The search is exact. It streams the files, so they need not fit in memory. If the release re-ranks, the model in use
    re-orders rows that were found in the old space: see `skipfill guide reranking`. Queries from a pipe are searched
    in blocks, with a pass over the gallery for each: see `skipfill guide formats`.

    Example: skipfill search products --items queries.parquet -k 10
    """
    from skipfill.compat.inference.search import SearchResult, search_vectors
    from skipfill.compat.progress import Progress
    from skipfill.compat.reranking.search import AskedReranking, search_items
    from skipfill.store.errors import BadInput
    from skipfill.store.parquet.stored_rows import Columns

    if bool(items) == bool(vectors):
        raise BadInput(
            "search",
            expected="either --items or --vectors",
            found="both" if items else "neither",
            hint=f"Example: skipfill search {gallery} --items queries.parquet -k 10",
        )
    given = items or vectors or []
    written_as, from_stdin = output_form(output, form, json=json), is_stdin(given)
    refuse_engine(engine, given)
    objects = opened(store)
    copies = cache_of(engine, used=cache, quiet=quiet)
    kept, queries = list[SearchResult](), 0
    # The file is opened first: an output that cannot be written is known before a long search, not after it.
    with ExitStack() as closing:
        written = closing.enter_context(row_output(output, written_as)) if output is not None else None
        run_by = closing.enter_context(engine_of(engine, address))
        bar = closing.enter_context(progress(quiet=quiet, in_pipe=from_stdin or output == DASH))
        if from_stdin:
            bar.start(f"searching {gallery}", 0)
        stages = Progress() if from_stdin else Progress(bar.start, bar.advance)
        if items:
            source = given_items(items, id_column, "label", input_column, old_vector, QUERIES_AT_ONCE, quiet=quiet)
            asked = AskedReranking(rerank, kind_of_candidates(candidates), gallery_items or [], old_input, keep)
            results = search_items(objects, gallery, source.parts, source.columns, k, stages, asked, run_by, copies)
        else:
            parts, columns = given_vectors(given, QUERIES_AT_ONCE), Columns(id_column, vector)
            results = search_vectors(objects, gallery, parts, columns, k, stages, run_by, copies)
        for result in results:
            queries += result.queries
            if from_stdin:
                bar.advance(result.queries)
            if written is not None:
                written.write(result.as_table())
                kept.clear()
            kept.append(result)
    if output == DASH:
        return
    result = SearchResult.joined(kept)
    emit(
        {"gallery": gallery, "model": result.model, "k": result.k, "hits": [] if output else result.as_list()},
        as_json=json,
        show=lambda out: _show(out, result, output, queries),
    )
    if output is None and not json and queries > SHOWN:
        show_next(f"{SHOWN} of {queries:,} queries shown; all with -o FILE.parquet or --json", quiet=quiet)


def _show(out: Console, result: SearchResult, output: Path | None, queries: int) -> None:
    if output is not None:
        out.print(f"{queries:,} queries, {result.k} hits each in {output}")
        return
    hits = result.as_list(SHOWN * result.k)
    columns = ["query", "rank", "id", "score"]
    rows = [[hit["query"], hit["rank"], hit["id"], f"{hit['score']:.4f}"] for hit in hits]
    if result.scored_by is not None:
        columns.append("scored by")
        rows = [[*row, hit["scored_by"]] for row, hit in zip(rows, hits, strict=True)]
    out.print(table(columns, rows, numbers=["rank", "score"]))
    if result.reranking is not None:
        encoded = f"; {result.encoded:,} rows were encoded" if result.encoded else ""
        out.print(f"{result.model}, {result.reranking}: scores of two models cannot be compared{encoded}", style="dim")
