"""skipfill search"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
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
    item_columns,
    opened,
)
from skipfill.cli.options.check import OldInput
from skipfill.cli.options.engine import EngineName, RayAddress, UseCache, cache_of, engine_of
from skipfill.cli.options.reranking import Keep, ReleasedCandidates, RerankSearch, RowItems, kind_of_candidates
from skipfill.cli.terminal.printing import emit, progress, show_next, table

if TYPE_CHECKING:
    from skipfill.compat.inference.search import SearchResult

SHOWN = 20


def search(
    gallery: GalleryName,
    items: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Queries to encode with the model in use: Parquet. Repeatable. Default: none, with --vectors.",
        ),
    ] = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Query vectors in the gallery's own space: Parquet. Repeatable. Default: none, with --items.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Rows to find for each query.")] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Parquet file for the hits; it must not exist. Default: the terminal.",
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
    engine: EngineName = "local",
    address: RayAddress = "",
    cache: UseCache = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search a gallery with items, or with vectors of its own space.

    The search is exact and streams the files, so they need not fit in memory. If the release re-ranks, the model in use
    re-orders rows that were found in the old space: `skipfill guide reranking`.

    Example: skipfill search products --items queries.parquet -k 10
    """
    from skipfill.compat.inference.search import search_vectors, write_hits
    from skipfill.compat.progress import Progress
    from skipfill.compat.reranking.search import AskedReranking, search_items
    from skipfill.store.errors import BadInput
    from skipfill.store.storage.output_file import new_file

    if bool(items) == bool(vectors):
        raise BadInput(
            "search",
            expected="either --items or --vectors",
            found="both" if items else "neither",
            hint=f"Example: skipfill search {gallery} --items queries.parquet -k 10",
        )
    objects = opened(store)
    copies = cache_of(engine, used=cache, quiet=quiet)
    # The file is opened first: an output that cannot be written is known before a long search, not after it.
    with ExitStack() as closing:
        file = closing.enter_context(new_file(output)) if output is not None else None
        run_by = closing.enter_context(engine_of(engine, address))
        bar = closing.enter_context(progress(quiet=quiet))
        stages = Progress(bar.start, bar.advance)
        if items:
            columns = item_columns(id_column, "label", input_column, items, quiet=quiet, other_than=old_vector)
            columns = replace(columns, old_vector=old_vector)
            asked = AskedReranking(rerank, kind_of_candidates(candidates), gallery_items or [], old_input, keep)
            result = search_items(objects, gallery, items, columns, k, stages, asked, run_by, copies)
        else:
            result = search_vectors(objects, gallery, vectors or [], id_column, vector, k, stages, run_by, copies)
        if file is not None:
            write_hits(result, file)
    emit(
        {"gallery": gallery, "model": result.model, "k": result.k, "hits": [] if output else result.as_list()},
        as_json=json,
        show=lambda out: _show(out, result, output),
    )
    if output is None and not json and result.queries > SHOWN:
        show_next(f"{SHOWN} of {result.queries:,} queries shown; all with -o FILE.parquet or --json", quiet=quiet)


def _show(out: Console, result: SearchResult, output: Path | None) -> None:
    if output is not None:
        out.print(f"{result.queries:,} queries, {result.k} hits each in {output}")
        return
    hits = result.as_list(SHOWN * result.k)
    rows = [(hit["query"], hit["rank"], hit["id"], f"{hit['score']:.4f}") for hit in hits]
    out.print(table(["query", "rank", "id", "score"], rows, numbers=["rank", "score"]))
