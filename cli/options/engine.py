"""The options that say where a command computes: in its own process, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.terminal.printing import show_next

if TYPE_CHECKING:
    from skipfill.store.engine.engine import Engine
    from skipfill.store.parquet.packed.cache import PackedCache

PANEL = "Where it computes"
ENGINES = ("local", "ray")

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="local: this process. ray: a Ray cluster, whose machines read the files themselves; see skipfill guide "
        "cluster.",
        rich_help_panel=PANEL,
        autocompletion=completion.one_of(*ENGINES),
    ),
]
RayAddress = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="With --engine ray: HOST:PORT of the cluster, or auto. Default: RAY_ADDRESS, or the cluster of this "
        "machine, or a new one on it.",
        rich_help_panel=PANEL,
    ),
]

UseCache = Annotated[
    bool,
    typer.Option(
        "--cache",
        help="Read the gallery's vectors from local copies, which are made if they are missing; see skipfill guide "
        "production.",
        rich_help_panel=PANEL,
    ),
]


@contextmanager
def engine_of(name: str, address: str) -> Iterator[Engine]:
    """The engine that the options name; a cluster is left at the end.

    Raises:
        BadInput: an unknown engine, an address without a cluster, or Ray is missing or does not answer.
    """
    from skipfill.store.engine.engine import LOCAL
    from skipfill.store.errors import BadInput, Parameter, unknown_name

    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES, where=Parameter("engine"))
    if name == "ray":
        from skipfill.store.engine.ray import ray_cluster

        with ray_cluster(address) as cluster:
            yield cluster
        return
    if address:
        raise BadInput(Parameter("address"), expected="--engine ray beside it", found="--engine local")
    yield LOCAL


def cache_of(engine: str = "local", *, used: bool, quiet: bool) -> PackedCache | None:
    """The cache, if the option asks for it.

    Raises:
        BadInput: the engine is a cluster, whose machines read the files themselves.
    """
    if not used:
        return None
    from skipfill.store.errors import BadInput, Parameter
    from skipfill.store.parquet.packed.cache import PackedCache

    if engine != "local":
        raise BadInput(Parameter("cache"), expected="--engine local beside it", found=f"--engine {engine}")
    return PackedCache(lambda text: show_next(text, quiet=quiet))
