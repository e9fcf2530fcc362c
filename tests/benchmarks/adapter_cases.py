"""Cases of an advice: some queries of an upgrade are a user's, the rest tell whether the advice was right.

Everything is decided by the functions behind `skipfill advise`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.advice.decision import Alternative, choosing_half, decided, judged_alone
from skipfill.compat.advice.rows import blend, reindex, view
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, p_above
from skipfill.compat.training.blending.weight import best_of
from skipfill.store.checks.policy import Policy

Values = NDArray[np.float64]
QUERIES = 400
"""Of a user, in each case; the others are held out."""
POLICY = Policy()


@dataclass(frozen=True)
class Case:
    """One advice and the truth.

    Attributes:
        outcome: `change`, `stay` or `undecided`.
        row: the row that it comes to; staying where the evidence does not tell.
        means: row -> its mean on the held-out queries; of the blend with the best weight also where it is no row.
        worse: whether the row is significantly worse than the best one on the held-out queries.
        worse_by_margin: the same, by more than the margin.
        below_policy: whether a recommended row is no better than staying, over all queries of the upgrade.
        stay_is_best: whether staying is better than every other row by more than the margin, on held-out queries.
    """

    upgrade: str
    outcome: str
    row: str
    means: dict[str, float]
    worse: bool
    worse_by_margin: bool
    below_policy: bool
    stay_is_best: bool


def rows_of(one: dict[str, Values], choosing: NDArray[np.int64]) -> tuple[dict[str, Values], str]:
    """The rows of the table by name, staying first, and the name of the blend that some of the queries choose.

    There is no blend where they choose none; a map alone is a blend of weight 1.
    """
    rows = {"stay": one["stay"], "view": one["map auto"]}
    blend = chosen_blend(one, choosing)
    if blend:
        rows["blend"] = one[blend]
    rows["reindex"] = one["reindex"]
    return rows, blend


def chosen_blend(one: dict[str, Values], choosing: NDArray[np.int64], of: str = "") -> str:
    """The name of the blend that some of the queries choose among all weights of all maps; empty where none is.

    Args:
        of: name of a map, for its blends alone.
    """
    tried = {name: values[choosing] for name, values in one.items() if _is_blend(name, of)}
    return best_of(tried, one["stay"][choosing], np.arange(len(choosing))) or ""


def _is_blend(row: str, of: str) -> bool:
    kind, _, name = row.partition(" ")
    taken = name.split(" ")[0]
    return kind in ("map", "blend") and (taken == of if of else taken != "auto")


def best_of_blends(one: dict[str, Values], choosing: NDArray[np.int64]) -> Values:
    """The results of the blend with the best mean on some of the queries, even where it is not in the table."""
    blends = [values for name, values in one.items() if name.startswith("blend ")]
    return max(blends, key=lambda values: float(values[choosing].mean()))


def cases(upgrade: str, one: dict[str, Values], draws: int, seed: int) -> Iterator[Case]:
    """Draw a user's queries again and again, and ask for advice."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        order = random.permutation(len(one["stay"]))
        yield _case(upgrade, one, np.sort(order[:QUERIES]), np.sort(order[QUERIES:]), int(random.integers(2**31)))


def _case(upgrade: str, one: dict[str, Values], mine: NDArray[np.int64], rest: NDArray[np.int64], seed: int) -> Case:
    clusters = np.arange(len(mine))
    choosing = choosing_half(clusters, seed)
    rows, _ = rows_of(one, mine[choosing])
    costs = {"view": view.COST, "blend": blend.COST, "reindex": reindex.COST}
    names = [name for name in rows if name != "stay"]
    alternatives = [Alternative(costs[name], rows[name][mine], rows["stay"][mine]) for name in names]
    made = decided(
        alternatives,
        clusters,
        choosing,
        POLICY,
        lambda place, asked: judged_alone(alternatives[place], clusters, asked, POLICY),
    )
    row = names[made.leading] if made.outcome == "change" else "stay"
    everything = {**rows, "blend": best_of_blends(one, mine[choosing])}
    means = {name: float(values[rest].mean()) for name, values in everything.items()}
    best = max(means, key=means.__getitem__)
    lost = Clusters.of(everything[best][rest] - rows[row][rest])
    change = float((rows[row] - rows["stay"]).mean())
    return Case(
        upgrade=upgrade,
        outcome=made.outcome,
        row=row,
        means=means,
        worse=row != best and p_above(lost, 0.0) <= POLICY.error,
        worse_by_margin=row != best and p_above(lost, POLICY.margin) <= POLICY.error,
        below_policy=made.outcome == "change" and change <= 0,
        stay_is_best=all(means["stay"] - means[name] > POLICY.margin for name in names),
    )
