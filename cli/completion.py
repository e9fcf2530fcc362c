"""The words that a shell offers: names of a local store, and names that skipfill knows. Nothing here loads torch."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from skipfill.store.storage.object_store import ObjectStore

Completer = Callable[[typer.Context], list[str]]


def galleries(ctx: typer.Context) -> list[str]:
    """Names of the galleries."""
    from skipfill.store.galleries.log import gallery_names

    return _of_store(ctx, gallery_names)


def models(ctx: typer.Context) -> list[str]:
    """Names of the models."""
    from skipfill.store.models.cards import model_names

    return _of_store(ctx, model_names)


def spaces(ctx: typer.Context) -> list[str]:
    """Names of the spaces; each model has one of its own."""
    from skipfill.store.models.cards import model_names
    from skipfill.store.spaces import space_names

    return _of_store(ctx, lambda objects: {*space_names(objects), *model_names(objects)})


def checks(ctx: typer.Context) -> list[str]:
    """Ids of the checks of the gallery that the command line names."""
    from skipfill.store.checks.saved_reports import check_ids

    return _of_store(ctx, lambda objects: check_ids(objects, str(ctx.params.get("gallery"))))


def checks_and_models(ctx: typer.Context) -> list[str]:
    """Ids of the checks of the gallery, and names of the models."""
    return models(ctx) + checks(ctx)


def metrics() -> list[str]:
    """Metrics that are often asked for; there are more of each form."""
    from skipfill.compat.metrics.always import ALWAYS

    return [*ALWAYS, "recall@100", "nDCG@100", "TAR@FAR=0.001"]


def methods() -> list[str]:
    """Names of the training methods: the keys in their registry, which is read and not imported."""
    spec = find_spec("skipfill.compat.methods.registry")
    tree = ast.parse(Path(spec.origin).read_bytes()) if spec is not None and spec.origin else ast.Module([], [])
    tables = [node.value for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    keys = [key for table in tables if isinstance(table, ast.Dict) for key in table.keys]
    return [str(key.value) for key in keys if isinstance(key, ast.Constant)]


def schemas() -> list[str]:
    """Names of the JSON Schemas."""
    folder = files("skipfill.cli.documents") / "schemas"
    return sorted(one.name.removesuffix(".json") for one in folder.iterdir())


def one_of(*names: str) -> Callable[[], list[str]]:
    """A completer of a fixed set of words."""
    return lambda: list(names)


def _of_store(ctx: typer.Context, names: Callable[[ObjectStore], Iterable[str]]) -> list[str]:
    """Names in the local store that the command line or the environment means; none where that has no answer.

    A bucket is not asked: a shell must not wait for a network.
    """
    from skipfill.store.storage.location import find_root, open_store

    given: Any = ctx.params.get("store")
    try:
        root = find_root(given)
        return sorted(names(open_store(root))) if isinstance(root, Path) else []
    except Exception:  # whatever is wrong: a key press is not the moment to report it
        return []
