"""Is the gate right as often as it says? Thousands of simulated checks, judged by the code that judges real ones.

    python tests/benchmarks/calibration.py [--checks 2000] [-o tests/benchmarks/calibration.md]

A query is lost, won or neither; how often both happen is `discordance` (the tests see no more than that). A model is
better, equal, worse by the margin, or worse by twice the margin, in all slices; or worse by the margin in one slice
and better in the seven others, which is the hardest case for a gate. Every slice has the same share of the queries.
Not part of the test run.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, p_above, p_below
from skipfill.compat.gate.verdict import judged, worst
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.report import Slice
from skipfill.store.checks.requirement import Requirement

MARGIN = 0.02
QUERIES = (30, 200, 1_000, 5_000)
SLICES = (1, 8)
MODELS = {"better by the margin": MARGIN, "equal": 0.0, "worse by the margin": -MARGIN, "twice the margin": -2 * MARGIN}
ONE_BAD = "one slice worse by the margin"
DISCORDANCE = (0.05, 0.2)
POLICIES = {
    "not worse": Policy(margin=MARGIN, better=False),
    "better": Policy(margin=MARGIN, better=True),
}


@dataclass(frozen=True)
class Case:
    policy: str
    model: str
    discordance: float
    queries: int
    slices: int


def cases() -> Iterator[Case]:
    for policy in POLICIES:
        for model in (*MODELS, ONE_BAD):
            for discordance in DISCORDANCE:
                for queries in QUERIES:
                    for slices in SLICES:
                        if model != ONE_BAD or slices > 1:
                            yield Case(policy, model, discordance, queries, slices)


@cache
def required(policy: str, name: str, lost: int, same: int, won: int) -> Requirement:
    """Findings of the gate for one slice of so many queries lost, kept and won; the bounds that it shows left out."""
    asked = POLICIES[policy]
    bar = 0.0 if asked.better and name == "all" else -asked.margin
    clusters = Clusters.of(np.repeat([-1.0, 0.0, 1.0], [lost, same, won]))
    errors = p_above(clusters, bar) if len(clusters.sums) >= asked.least_queries else 1.0, p_below(clusters, bar)
    return Requirement(name, "not-worse", "", "", "", bar, clusters.mean, 0.0, 0.0, *errors, "inconclusive", None)


def verdicts(case: Case, checks: int, random: np.random.Generator) -> Counter[str]:
    change = np.full(case.slices, MODELS.get(case.model, 0.0))
    if case.model == ONE_BAD:
        change = np.full(case.slices, 2 * MARGIN)
        change[0] = -MARGIN
    moved = np.maximum(case.discordance, np.abs(change))
    chances = np.stack([(moved - change) / 2, 1 - moved, (moved + change) / 2], axis=1)
    each = case.queries // case.slices
    counts = np.stack([random.multinomial(each, one, checks) for one in chances], axis=1)
    found: Counter[str] = Counter()
    # With slices, only they are asked; `all` is judged alone, as "better" is asked of nothing else.
    names = ["all"] if case.slices == 1 else [f"slice {number}" for number in range(case.slices)]
    for check in counts:
        slices = []
        for name, one in zip(names, check, strict=True):
            asked = required(case.policy, name if name == "all" else "slice", *(int(count) for count in one))
            slices.append(Slice(name, each, each, [], {}, {}, {}, [asked], "inconclusive"))
        found[worst([one.verdict for one in judged(slices, POLICIES[case.policy])])] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=2_000)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    lines = [
        "| asked | model | discordance | queries | slices | pass | fail | inconclusive |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in cases():
        if case.policy == "better" and case.slices > 1:
            continue  # a slice is never asked to be better
        found = verdicts(case, options.checks, random)
        shares = " | ".join(f"{found[one] / options.checks:.1%}" for one in ("pass", "fail", "inconclusive"))
        lines.append(
            f"| {case.policy} | {case.model} | {case.discordance:.0%} | {case.queries:,} | {case.slices} | {shares} |"
        )
        print(lines[-1], flush=True)
    head = (
        f"# How often the gate is wrong\n\n{options.checks:,} simulated checks a line by `calibration.py`, at 95% "
        f"confidence and a margin of {MARGIN:g}. `asked`: what the policy asks (`not worse` by the margin, of all "
        "queries or of each slice; or `better`, of all queries). A model worse by the margin must pass, and an equal "
        "one must fail, at most 5% of the time. The standard error of a 5% is "
        f"{100 * (0.05 * 0.95 / options.checks) ** 0.5:.1f} points.\n\n"
    )
    if options.output:
        options.output.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
