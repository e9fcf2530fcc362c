"""Tables of what `adapters.py` measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from adapter_cases import POLICY, QUERIES, Case, Values, cases, chosen_blend
from numpy.typing import NDArray

from skipfill.compat.advice.decision import choosing_half
from skipfill.compat.evaluation.statistics.tilted_bootstrap import Clusters, lower_bound, p_above, p_below, upper_bound

DRAWS = 4
"""Cases of each upgrade and seed."""
ROOM = 0.02
"""An upgrade is to a better encoder where a reindex is at least so much above staying."""
INTRODUCTION = """# Maps, blends and advice

Made by `adapters.py`. nDCG@10 for SciFact and CMC@1 for the others, means over the seeds; each seed draws its own
gallery rows, queries, pairs and wrong pairs. Changes are against staying, among the same rows, each with its bounds at
95% confidence on either side; queries are drawn as a whole, with all their seeds. The map and the weight of a blend are
chosen on one half of the queries of each seed, and the blend is measured on the other half. `-`: too few pairs for the
method.
"""


def report(found: Mapping[str, Sequence[dict[str, Values]]], upgrades: Mapping[str, Any]) -> str:
    """The whole page."""
    lines = [
        INTRODUCTION,
        *_measured(found, upgrades),
        *_upgrades(found, upgrades),
        "",
        *_maps(found),
        "",
        *_summary(found),
        "",
    ]
    every = [
        case for name, seeds in found.items() for at, one in enumerate(seeds) for case in cases(name, one, DRAWS, at)
    ]
    return "\n".join([*lines, *_cases(every)]) + "\n"


def _measured(found: Mapping[str, Sequence[dict[str, Values]]], upgrades: Mapping[str, Any]) -> list[str]:
    """The number of seeds of each upgrade, and the missing upgrades."""
    counts = Counter(len(seeds) for seeds in found.values())
    seeds = ", ".join(f"{count} with {of} seed{'s' if of > 1 else ''}" for of, count in sorted(counts.items()))
    missing = [name for name in upgrades if name not in found]
    told = f" Not measured yet: {'; '.join(missing)}." if missing else ""
    return [f"{len(found)} of {len(upgrades)} upgrades: {seeds}.{told}", ""]


class Pooled:
    """The results of an upgrade over its seeds, in one array a row."""

    def __init__(self, seeds: Sequence[dict[str, Values]]) -> None:
        self.seeds = seeds
        self.queries = np.concatenate([one["queries"] for one in seeds]).astype(np.int64)
        halves = [choosing_half(np.arange(len(one["stay"])), at) for at, one in enumerate(seeds)]
        self.reporting = np.concatenate([~half for half in halves])
        self.choosing = ~self.reporting
        chosen = [chosen_blend(one, np.flatnonzero(half)) for one, half in zip(seeds, halves, strict=True)]
        of_auto = [chosen_blend(one, np.flatnonzero(half), "auto") for one, half in zip(seeds, halves, strict=True)]
        self.blends = [_short(name) for name in chosen]
        self.chosen = {
            kind: np.concatenate([one[name or "stay"] for one, name in zip(seeds, names, strict=True)])
            for kind, names in (("blend", chosen), ("blend of auto", of_auto))
        }

    def of(self, row: str) -> Values | None:
        if any(row not in one for one in self.seeds):
            return None
        return np.concatenate([one[row] for one in self.seeds])

    def change(self, row: str) -> Clusters | None:
        """Against staying; a blend on the reporting halves only."""
        values = self.chosen[row] if row in self.chosen else self.of(row)
        stay = self.of("stay")
        if values is None or stay is None:
            return None
        some: NDArray[np.bool_] = self.reporting if row in self.chosen else np.ones(len(stay), bool)
        return Clusters.of((values - stay)[some], self.queries[some])


def _short(blend: str) -> str:
    """A blend as the table names it, its map and weight; 0 for staying."""
    kind, _, name = blend.partition(" ")
    return "0" if not blend else f"{name} 1" if kind == "map" else name


def _upgrades(found: Mapping[str, Sequence[dict[str, Values]]], upgrades: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Every upgrade",
        "",
        "| upgrade | meant as | staying | view (`auto`) | blend | map and weight, by seed | blend of `auto` "
        "| `auto` at .4 | reindex |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, seeds in found.items():
        pooled = Pooled(seeds)
        stay = pooled.of("stay")
        assert stay is not None
        rows = ("map auto", "blend", "blend of auto", "blend auto 0.4", "reindex")
        cells = [_shown(pooled.change(row)) for row in rows]
        cells.insert(2, ", ".join(pooled.blends))
        lines.append(f"| {name} | {upgrades[name].kind} | {stay.mean():.3f} | {' | '.join(cells)} |")
    return lines


def _maps(found: Mapping[str, Sequence[dict[str, Values]]]) -> list[str]:
    names = list(dict.fromkeys(row for seeds in found.values() for row in seeds[0] if row.startswith("map ")))
    names = [name for name in names if name != "map auto"] + ["map auto"]
    lines = ["## Every map", "", f"| upgrade | {' | '.join(name.removeprefix('map ') for name in names)} |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for name, seeds in found.items():
        pooled = Pooled(seeds)
        means = [pooled.of(row) for row in names]
        shown = [f"{one.mean():.3f}" if one is not None else "-" for one in means]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return lines


def _summary(found: Mapping[str, Sequence[dict[str, Values]]]) -> list[str]:
    counts: Counter[str] = Counter()
    behind: list[str] = []
    behind_after: list[str] = []
    not_above: list[str] = []
    for name, seeds in found.items():
        pooled = Pooled(seeds)
        reindex, blend, of_auto = (pooled.change(row) for row in ("reindex", "blend", "blend of auto"))
        assert reindex is not None
        assert blend is not None
        assert of_auto is not None
        counts["upgrades"] += 1
        if reindex.mean >= ROOM:
            counts["better"] += 1
            counts["blend above"] += _significantly_above(blend)
            counts["blend below"] += _significantly_below(blend)
            counts["auto above"] += _significantly_above(of_auto)
            counts["auto below"] += _significantly_below(of_auto)
            not_above += [] if _significantly_above(blend) else [name]
            view = pooled.change("map auto")
            assert view is not None
            counts["view above"] += _significantly_above(view)
            counts["view below"] += _significantly_below(view)
        elif reindex.mean <= -ROOM:
            counts["worse"] += 1
            counts["weight 0"] += all(blend == "0" for blend in pooled.blends)
            counts["blend of a worse one below"] += _significantly_below(blend)
        behind += [name] if _auto_behind(pooled, pooled.choosing, pooled.reporting) else []
        every = np.ones(len(pooled.queries), bool)
        behind_after += [name] if _auto_behind(pooled, every, every) else []
    better, worse = counts["better"], counts["worse"]
    return [
        "## In short",
        "",
        f"- {counts['upgrades']} upgrades. In {better} a reindex is at least {ROOM:g} above staying. There the view "
        f"is significantly above staying in {counts['view above']} and significantly below in {counts['view below']}; "
        f"the blend is significantly above in {counts['blend above']} and significantly below in "
        f"{counts['blend below']}"
        f"{_named(not_above, 'not above')}. The blend of `auto` alone is significantly above in {counts['auto above']} "
        f"and significantly below in {counts['auto below']}.",
        f"- In {worse} a reindex is at least {ROOM:g} below staying. There every seed has weight 0 in "
        f"{counts['weight 0']}, and the blend is significantly below staying in "
        f"{counts['blend of a worse one below']}.",
        f"- `auto` is significantly below the best single map in {len(behind)} of {counts['upgrades']}"
        f"{_named(behind)}. The best map is named by the choosing halves and compared on the others. Named after the "
        f"fact, by the queries that compare, it is in {len(behind_after)}{_named(behind_after)}.",
    ]


def _named(upgrades: Sequence[str], why: str = "") -> str:
    return f" ({why}{': ' if why else ''}{'; '.join(upgrades)})" if upgrades else ""


def _auto_behind(pooled: Pooled, naming: NDArray[np.bool_], comparing: NDArray[np.bool_]) -> bool:
    """Whether `auto` is significantly below the map with the best mean.

    Args:
        naming: (Q,) the queries whose mean it is.
        comparing: (Q,) those on which the two are compared.
    """
    names = {row for one in pooled.seeds for row in one if row.startswith("map ")}
    maps = {name: values for name in sorted(names) if (values := pooled.of(name)) is not None}
    best = max(maps.values(), key=lambda values: float(values[naming].mean()))
    behind = (best - maps["map auto"])[comparing]
    return _significantly_above(Clusters.of(behind, pooled.queries[comparing]))


def _cases(every: Sequence[Case]) -> list[str]:
    counts = Counter(case.outcome for case in every)
    stays = [case for case in every if case.stay_is_best]
    right = [not case.worse for case in every]
    decided = [case for case in every if case.outcome != "undecided"]
    lines = [
        "## Advice",
        "",
        f"{len(every)} cases: {DRAWS} draws of {QUERIES} queries of each upgrade and seed are a user's, half of them "
        "to choose; the others tell what is true. Rows: staying, the view of `auto`, the blend with its map and weight "
        f"from the choosing half, a reindex. Policy: {POLICY.short}. Where the evidence does not tell, the user stays.",
        "",
        "| | |",
        "|---|---|",
        f"| a change is worth it, stay, the evidence does not tell | {counts['change']}, {counts['stay']}, "
        f"{counts['undecided']} |",
        f"| right: not significantly worse than the best row on held-out queries | {_share(sum(right), len(every))} |",
        f"| of the cases that are decided | {_share(sum(not case.worse for case in decided), len(decided))} |",
        "| not significantly worse by more than the margin | "
        f"{_share(sum(not case.worse_by_margin for case in every), len(every))} |",
        f"| recommended, and no better than staying over all queries | "
        f"{_share(sum(case.below_policy for case in every), counts['change'])} of the changes, "
        f"{_share(sum(case.below_policy for case in every), len(every))} of all |",
        f"| staying is best by more than the margin: said | "
        f"{_share(sum(case.outcome == 'stay' for case in stays), len(stays))} |",
        f"| the same, no change recommended | {_share(sum(case.outcome != 'change' for case in stays), len(stays))} |",
        "",
        "| upgrade | outcomes | rows | wrong |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(case.upgrade for case in every):
        mine = [case for case in every if case.upgrade == name]
        outcomes = ", ".join(f"{word} {count}" for word, count in Counter(case.outcome for case in mine).items())
        rows = ", ".join(f"{row} {count}" for row, count in Counter(case.row for case in mine).items())
        lines.append(f"| {name} | {outcomes} | {rows} | {sum(case.worse for case in mine)} of {len(mine)} |")
    return lines


def _share(count: int, of: int) -> str:
    return f"{count} of {of} ({count / of:.1%})" if of else "none"


def _significantly_above(change: Clusters) -> bool:
    return p_above(change, 0.0) <= POLICY.error


def _significantly_below(change: Clusters) -> bool:
    return p_below(change, 0.0) <= POLICY.error


def _shown(change: Clusters | None) -> str:
    if change is None:
        return "-"
    low, high = lower_bound(change, POLICY.error), upper_bound(change, POLICY.error)
    return f"{change.mean:+.3f} ({low:+.3f} to {high:+.3f})"
