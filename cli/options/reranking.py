"""The options of re-ranking, and functions that read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipfill.cli import completion
from skipfill.cli.options.pipes import corpora

if TYPE_CHECKING:
    from skipfill.store.checks.index import CheckIndex
    from skipfill.store.checks.reranking import CandidatesBy, Reranking
    from skipfill.store.models.cards import Card
    from skipfill.store.storage.object_store import ObjectStore

RERANKING = "Re-ranking"

RerankSeveral = Annotated[
    list[str] | None,
    typer.Option(
        "--rerank",
        metavar="K",
        help="Find K rows per query in the old space, and let the new model re-order them. Several, as in 10,50,200, "
        "are tried from the largest down. Default: the new model's view alone.",
        rich_help_panel=RERANKING,
    ),
]
Rerank = Annotated[
    int | None,
    typer.Option(
        "--rerank",
        metavar="K",
        min=1,
        help="Find K rows per query in the old space, and let the model re-order them. Default: its view alone.",
        rich_help_panel=RERANKING,
    ),
]
RerankSearch = Annotated[
    int | None,
    typer.Option(
        "--rerank",
        metavar="K",
        min=1,
        help="Find K rows per query in the old space, and let the model in use re-order them. Default: as released.",
        rich_help_panel=RERANKING,
    ),
]


def _candidates(default: str) -> Any:
    """The option `--candidates`, with its default in words."""
    return typer.Option(
        "--candidates",
        metavar="KIND",
        help="When re-ranking: the query vector that finds the rows, old (the old model's) or view (the new model's). "
        f"Default: {default}old if it is available, else view.",
        rich_help_panel=RERANKING,
        autocompletion=completion.one_of("old", "view"),
    )


Candidates = Annotated[str, _candidates("")]
CheckedCandidates = Annotated[str, _candidates("the kind that was checked; without a check, ")]
ReleasedCandidates = Annotated[str, _candidates("as released; otherwise, ")]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep",
        help="When re-ranking: add the vectors of encoded rows to the model's overlay, so they are not encoded again.",
        rich_help_panel=RERANKING,
    ),
]
RowItems = Annotated[
    list[Path] | None,
    typer.Option(
        "--gallery-items",
        metavar="FILE",
        help="When re-ranking: items of gallery rows. Those that the overlay lacks are encoded. Repeatable. Default: "
        "the overlay alone.",
        callback=corpora,
        rich_help_panel=RERANKING,
    ),
]


def numbers_of_candidates(given: Sequence[str] | None) -> list[int]:
    """The numbers in `10,50,200`, or in several such options.

    Raises:
        BadInput: something else.
    """
    from skipfill.store.errors import BadInput, Parameter

    numbers = []
    for word in ",".join(given or []).split(",") if given else []:
        if not word.strip().isdecimal():
            raise BadInput(
                Parameter("rerank", ",".join(given or [])),
                expected="whole numbers with commas between them",
                found=repr(word),
            )
        numbers.append(int(word))
    return numbers


def kind_of_candidates(given: str) -> CandidatesBy | None:
    """The kind as it was given; None for none.

    Raises:
        BadInput: an unknown one.
    """
    from skipfill.store.checks.reranking import CANDIDATES
    from skipfill.store.errors import Parameter, unknown_name

    kind = next((one for one in CANDIDATES if one == given), None)
    if given and kind is None:
        raise unknown_name("kind of candidates", given, CANDIDATES, where=Parameter("candidates"))
    return kind


def asked_reranking(
    objects: ObjectStore, gallery: str, card: Card, k: int | None, candidates: str, index: CheckIndex
) -> Reranking | None:
    """The re-ranking that a swap is asked for: see `wanted_reranking`; None for none.

    Raises:
        BadInput: a kind of candidates alone, or an unknown one.
    """
    from skipfill.store.errors import Advice, BadInput, Parameter
    from skipfill.store.releases.reranking import wanted_reranking

    kind = kind_of_candidates(candidates)
    if k is not None:
        return wanted_reranking(objects, gallery, card, k, kind, index)
    if kind is not None:
        raise BadInput(
            Parameter("candidates", kind), expected="re-ranking too", found="none", hint=Advice("ask_rerank")
        )
    return None


def refuse_beside_plan(plan: Path | None, k: int | None) -> None:
    """Raise `BadInput` where a saved plan and a number of candidates are given: the plan has its own."""
    from skipfill.store.errors import BadInput, Parameter

    if plan is not None and k is not None:
        raise BadInput(Parameter("rerank", str(k)), expected="none beside --plan: the plan has its own", found="one")
