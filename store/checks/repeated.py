"""A check made again: its inputs, as far as a report of it tells them, and the input that it lacked.

A report does not name its files: placeholders stand for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from skipfill.store.checks.names import BROUGHT_VECTORS, column_of

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report
    from skipfill.store.checks.reranking import Reranking

Lack = Literal["queries", "vectors of rows", "proof of old vectors"]
JUDGEMENTS, ROWS = "JUDGEMENTS.tsv", "ROWS.parquet"


def lack_of(report: Report) -> Lack:
    """The input by which an undecided check may be decided.

    More queries decide nothing where candidates have no new vector, so that they keep their places, or where nothing
    proves that brought vectors are the old model's.
    """
    if any(each.base == BROUGHT_VECTORS for one in report.slices for each in one.requirements):
        return "proof of old vectors"
    if report.rerank is not None and report.rerank.without_vector:
        return "vectors of rows"
    return "queries"


def repeated(way: Reranking | None, like: Report | None) -> dict[str, object]:
    """Parameters of a check of a way of answering queries, without its queries.

    Args:
        way: None where the model's view alone ranks.
        like: the report of a check with the same inputs; None for none.
    """
    parameters: dict[str, object] = {} if way is None else dict(way.parameters)
    before = like.rerank if like is not None else None
    if way is not None and (before is None or before.encoded or before.without_vector):
        parameters["gallery_items"] = ROWS
    if like is None:
        return parameters
    if like.truth == "judgements":
        parameters["judgements"] = JUDGEMENTS
    elif like.truth != "labels":
        parameters["truth"] = like.truth
    if like.ceiling:
        parameters["ceiling"] = like.ceiling
    if column := column_of(like.baseline):
        parameters["old_vector"] = column
    return parameters


def tried_again(report: Report) -> dict[str, object]:
    """Parameters of the same check once more, without its queries: with every number of candidates that it tried."""
    measured = report.rerank
    parameters = repeated(measured.way if measured else None, report)
    if measured is not None and measured.tried:
        parameters["rerank"] = ",".join(str(one.k) for one in reversed(measured.tried))
    return parameters
