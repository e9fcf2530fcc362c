"""Every retrieval metric by name: a function from the ranking of a query's relevant rows to its value in [0, 1].

To add one: its file here, its line below, its values in tests/compat/metrics/test_metrics.py, and its form in the help
of the option for metrics (cli/options/__init__.py) and in cli/guide/gate.md. If each query is right or wrong in it, its
name is also needed in `is_binary` (store/checks/requirement.py). Higher is better in all of them. They are 0 where
nothing is relevant; measurements leave such queries out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from skipfill.compat.metrics.always import ALWAYS
from skipfill.compat.metrics.average_precision import average_precision
from skipfill.compat.metrics.cmc import cmc
from skipfill.compat.metrics.ndcg import ndcg
from skipfill.compat.metrics.ranking import Metric
from skipfill.compat.metrics.recall import recall
from skipfill.compat.metrics.reciprocal_rank import reciprocal_rank
from skipfill.compat.metrics.true_accept_rate import true_accept_rate

__all__ = ["ALWAYS", "FORMS", "depth_of", "metric", "named_metrics", "of_scores"]

PLAIN: dict[str, Metric] = {"mAP": average_precision, "MRR": reciprocal_rank}
AT_K: dict[str, Callable[..., float]] = {"CMC": cmc, "recall": recall, "nDCG": ndcg}
AT_RATE: dict[str, Callable[..., float]] = {"TAR": true_accept_rate}
FORMS = (*PLAIN, *(f"{name}@K" for name in AT_K), *(f"{name}@FAR=RATE" for name in AT_RATE))


def metric(name: str) -> Metric | None:
    """The metric of this name, such as `mAP`, `recall@100` or `TAR@FAR=0.001`; None when there is none."""
    if name in PLAIN:
        return PLAIN[name]
    family, _, at = name.partition("@")
    if family in AT_K and re.fullmatch("[1-9][0-9]*", at):
        return partial(AT_K[family], k=int(at))
    if family in AT_RATE and at.startswith("FAR="):
        try:
            far = float(at.removeprefix("FAR="))
        except ValueError:
            return None
        return partial(AT_RATE[family], far=far) if 0 < far < 1 else None
    return None


def depth_of(name: str) -> int | None:
    """K of a metric of the first K rows; None for others."""
    family, _, at = name.partition("@")
    return int(at) if family in AT_K and metric(name) is not None else None


def of_scores(name: str) -> bool:
    """Whether a metric compares scores, and not ranks alone."""
    return name.partition("@")[0] in AT_RATE


def named_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """The metrics of these names, each once and in this order.

    Raises:
        KeyError: no metric has one of the names.
    """
    found = {name: metric(name) for name in dict.fromkeys(names)}
    missing = [name for name, value_of in found.items() if value_of is None]
    if missing:
        raise KeyError(missing[0])
    return {name: value_of for name, value_of in found.items() if value_of is not None}
