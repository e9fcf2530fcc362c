"""Advice on a gallery: stay, or serve queries in another way. `advise` is the list of its steps.

Nothing is written to the store. The queries are admitted by the rules of a check and divided into two halves. One half
chooses weights and the row to recommend; the other tests it by the policy and is what the table shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from skipfill.compat.advice.candidate import Candidate, candidates_of
from skipfill.compat.advice.decision import Decision, Outcome, choosing_half, decided
from skipfill.compat.advice.halves import Halves, halves_of
from skipfill.compat.advice.judgement import judged_slices, objection
from skipfill.compat.advice.rates import measured_rates
from skipfill.compat.advice.reasons import reason
from skipfill.compat.advice.rows.registry import ROWS
from skipfill.compat.advice.rows.row import Missing, Row
from skipfill.compat.advice.table import Line, Rates, line_of, line_of_staying, together
from skipfill.compat.gate.admission.near_copies import joined
from skipfill.compat.gate.admission.ruling import Mask
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.inputs import CheckInputs, refuse_unknown_metric
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.gate.verdict import worst
from skipfill.compat.progress import Progress
from skipfill.store.checks.names import BROUGHT_VECTORS
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.repeated import Lack
from skipfill.store.checks.report import Slice
from skipfill.store.checks.requirement import Verdict
from skipfill.store.errors import BadInput, Parameter
from skipfill.store.models.cards import serves
from skipfill.store.parquet.packed.cache import PackedCache
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Advised:
    """The table and the recommendation.

    Attributes:
        old: name of the model that filled the gallery.
        policy: the one that decides.
        choosing, reporting: number of queries that chose, and of those that the table reports.
        lines: the lines of the table, staying first.
        outcome: `change` if the recommended line is worth it, `stay`, or `undecided`.
        recommended: position of a line; 0 is staying. None if the evidence does not decide.
        reason: one sentence.
        notes: sentences on queries that were left out, rows of the table that are missing, and the like.
        halves: the queries that chose, and the others, which a check may use.
        lack: the input that may decide undecided advice.
    """

    gallery: str
    version: int
    old: str
    policy: Policy
    choosing: int
    reporting: int
    lines: list[Line]
    outcome: Outcome
    recommended: int | None
    reason: str
    notes: list[str] = field(default_factory=list)
    halves: Halves | None = None
    lack: Lack = "queries"


def advise(
    objects: ObjectStore,
    gallery_name: str,
    names: Sequence[str],
    inputs: CheckInputs,
    policy: Policy,
    progress: Progress = Progress(),
    price_per_hour: float | None = None,
    cache: PackedCache | None = None,
) -> Advised:
    """Compare staying with every row of the registry for every candidate, and recommend one.

    Args:
        names: the candidates, models with a view onto the gallery's space.
        price_per_hour: price of the machine that encodes.
        cache: local copies of the gallery's rows; None for none.

    Raises:
        BadInput: see `check_model`; no candidate, or one that is named twice or released.
        Stale: a file of the gallery is not what was registered, or changed while it was read.
    """
    _refuse_names(names)
    refuse_unknown_metric(policy)
    contexts = [
        CheckContext.opened(objects, gallery_name, name, inputs, policy, progress, cache=cache) for name in names
    ]
    old_serves = bool(inputs.old_vector) or serves(objects, contexts[0].gallery.space)
    with ReencodableRows.opened(contexts[0]) as reencodable:
        candidates = candidates_of(contexts, reencodable, old_serves=old_serves)
        clusters = joined([candidate.grouping.clusters for candidate in candidates])
        candidates = [_in_clusters(candidate, clusters) for candidate in candidates]
        choosing = choosing_half(clusters, policy.seed)
        _refuse_too_few(choosing)
        made = [make(candidate, choosing) for make in ROWS.values() for candidate in candidates]
        rates = measured_rates(candidates, price_per_hour)
    rows = [one for one in made if isinstance(one, Row)]
    reported = [judged_slices(row, ~choosing) for row in rows]
    decision = decided(
        [row.alternative for row in rows], clusters, choosing, policy, lambda place, asked: _verdict(reported[place])
    )
    for context in contexts:
        context.confirm_files()
    gallery = contexts[0].gallery
    lines = _lines(rows, [_verdict(slices) for slices in reported], candidates[0], clusters, choosing, policy, rates)
    return Advised(
        gallery=gallery.name,
        version=gallery.version.number,
        old=gallery.space.name,
        policy=policy,
        choosing=int(choosing.sum()),
        reporting=int((~choosing).sum()),
        lines=lines,
        outcome=decision.outcome,
        recommended=_recommended(decision),
        reason=reason(lines, decision, policy, objection(reported[decision.leading])),
        notes=_notes(contexts, [one.why for one in made if isinstance(one, Missing)]),
        halves=halves_of(contexts[0], candidates[0].queries.items, choosing),
        lack=_lack(contexts, rows[decision.leading]),
    )


def _lines(
    rows: Sequence[Row],
    verdicts: Sequence[Verdict],
    candidate: Candidate,
    clusters: NDArray[np.int64],
    choosing: Mask,
    policy: Policy,
    rates: Rates,
) -> list[Line]:
    """The lines of the table, staying first: about the queries that did not choose."""
    gallery = candidate.context.gallery
    staying = _line_of_staying(candidate, clusters, choosing, policy, rates)
    return [staying] + [
        line_of(row, gallery.space.name, gallery.rows.count, clusters, ~choosing, rates, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def _lack(contexts: Sequence[CheckContext], leading: Row) -> Lack:
    """The input that undecided advice lacks: more queries decide nothing where another one does."""
    if any(finding.rule == BROUGHT_VECTORS for context in contexts for finding in context.findings):
        return "proof of old vectors"
    return "vectors of rows" if leading.lacks_vectors else "queries"


def _verdict(slices: list[Slice]) -> Verdict:
    return worst([one.verdict for one in slices])


def _in_clusters(candidate: Candidate, clusters: NDArray[np.int64]) -> Candidate:
    """The candidate with the clusters that all candidates share."""
    return replace(candidate, grouping=replace(candidate.grouping, clusters=clusters))


def _recommended(decision: Decision) -> int | None:
    places: dict[Outcome, int | None] = {"change": decision.leading + 1, "stay": 0, "undecided": None}
    return places[decision.outcome]


def _line_of_staying(
    candidate: Candidate, clusters: NDArray[np.int64], choosing: Mask, policy: Policy, rates: Rates
) -> Line:
    context, staying = candidate.context, list(candidate.staying.values())[-1]
    line = line_of_staying(_serving(context), staying, clusters, ~choosing, policy)
    speed = together(rates.queries, [line.model])
    return replace(line, queries_per_second=speed, measured_on=context.gallery.rows.count)


def _serving(context: CheckContext) -> str:
    """Name of the model that queries use now."""
    release = context.gallery.version.release
    return context.gallery.space.name if release is None else release.model


def _notes(contexts: Sequence[CheckContext], missing: list[str]) -> list[str]:
    """Warnings of all candidates, each once, and the reasons why rows of the table are missing."""
    return list(dict.fromkeys([*(one for context in contexts for one in context.warnings), *missing]))


def _refuse_names(names: Sequence[str]) -> None:
    if not names:
        raise BadInput(Parameter("candidate"), expected="at least one model", found="none")
    if len(set(names)) < len(names):
        raise BadInput(Parameter("candidate"), expected="each model once", found=", ".join(names))


def _refuse_too_few(choosing: Mask) -> None:
    if not choosing.any():
        raise BadInput(
            Parameter("items"),
            expected="at least two queries, one to choose and one to report",
            found=f"{len(choosing)}",
        )
