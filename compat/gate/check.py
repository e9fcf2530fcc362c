"""Check of a model on a stored gallery: do its queries find at least as much as the old model's?

The path of a check, a file for each step: `inputs`, opened as a `context`; `reencodable` rows, which are encoded where
a later step asks for them; `queries`, by the rules of `admission`, with their `query_lookup` and their `slices`;
`vectors`; `ranks`; `evidence`; `verdict`; and the report with its `reasons`, its `query_table` and, where asked for,
what an index does and the thresholds (`compat/evaluation`). No step calls an earlier one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from skipfill.compat.encoders.decoded import decoding_once
from skipfill.compat.evaluation.index.recall import measure_index
from skipfill.compat.evaluation.statistics.threshold_transfer import rule, transferred
from skipfill.compat.gate.admission.registry import OF_BASELINE, OF_CHECK, OF_VERDICTS
from skipfill.compat.gate.admission.room import Baseline
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.gate.evidence import Evidence, flipped, measure_slice, with_requirements
from skipfill.compat.gate.inputs import CheckInputs, refuse_scores_of_two_spaces, refuse_unknown_metric
from skipfill.compat.gate.queries import QuerySet, asked, build_query_set
from skipfill.compat.gate.query_table import per_query_table
from skipfill.compat.gate.ranks import StoredRanks, rank_reencoded_rows, rank_stored_rows
from skipfill.compat.gate.reasons import asked_less, reasons, remedies
from skipfill.compat.gate.reencodable import ReencodableRows
from skipfill.compat.gate.slices import Grouping, group_queries
from skipfill.compat.gate.vectors import QueryVectors, query_vectors
from skipfill.compat.gate.verdict import judged, requirements_of, with_findings, worst
from skipfill.compat.progress import Progress
from skipfill.compat.reranking.costs import costs
from skipfill.compat.reranking.sequence import BEHIND, deciding, with_all_tried
from skipfill.store.checks.names import CEILING, NEW_NEW, NEW_OLD, OLD_OLD
from skipfill.store.checks.policy import NEIGHBOURS, Policy
from skipfill.store.checks.report import FORMAT, WITHOUT_RERANKING, IndexRecall, Report, Slice, Threshold
from skipfill.store.checks.reranking import way_fingerprint
from skipfill.store.checks.saved_reports import refuse_unwritable, save_report
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.models.cards import has_model
from skipfill.store.parquet.packed.cache import PackedCache
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Measurements:
    """All that a check measures for one way of answering queries.

    Attributes:
        context: that of the check, limited to the rows that were measured on, with every finding and warning so far.
        stored: ranks and values among the stored rows, in this way.
        baseline: old/old in the metric that decides, the same for every way.
        reencoded_rows: how many rows a model could encode again.
        k: number of candidates that the model re-ranks; 0 where its view alone ranks.
    """

    context: CheckContext
    queries: QuerySet
    grouping: Grouping
    vectors: QueryVectors
    stored: StoredRanks
    baseline: Baseline
    evidence: Evidence
    reencoded_rows: int
    k: int


def check_model(
    objects: ObjectStore,
    gallery_name: str,
    model_name: str,
    inputs: CheckInputs,
    policy: Policy,
    progress: Progress = Progress(),
    *,
    save: bool = True,
    engine: Engine = LOCAL,
    cache: PackedCache | None = None,
) -> Report:
    """Measure a model on a gallery, judge it under the policy, save the report and return it.

    Of several numbers of candidates the largest is tried first; each has a report, and that of the smallest that passes
    is returned, or else that of the largest.

    Args:
        save: False to write nothing: the report has no id, and allows no swap.
        engine: encodes items and reads the gallery.
        cache: local copies of the gallery's rows; None for none.

    Raises:
        BadInput: no ground truth, overlap, view or old query vectors, an unknown slice, or a store that is read-only.
        Stale: a file of the gallery is not what was registered, or changed while it was read.
    """
    began = time.monotonic()
    refuse_unknown_metric(policy)
    refuse_scores_of_two_spaces(policy, inputs)
    if save:
        refuse_unwritable(objects, gallery_name)
    context = CheckContext.opened(objects, gallery_name, model_name, inputs, policy, progress, engine, cache)
    context.record(rule(context) for rule in OF_CHECK.values())
    measured = _measure(context)
    tried = _tried(measured, began)
    context.confirm_files()
    values = [one.evidence.stored[NEW_OLD][policy.metric] for one in measured[: len(tried)]]
    reports = with_all_tried([report for report, _ in tried], values, measured[0].evidence.clusters)
    if save:
        reports = [save_report(objects, report, table) for report, (_, table) in zip(reports, tried, strict=True)]
    return deciding(reports)


def _tried(measured: list[Measurements], began: float) -> list[tuple[Report, pa.Table]]:
    """The report and the table of results by query of each way of answering, up to the first that does not pass.

    Each is tested at the full error rate. The order was fixed beforehand, and the sequence ends with the first way that
    does not pass, so the probability of any wrong pass is no larger (Maurer et al. 1995).

    Args:
        measured: one for each way, in the order in which they are tried: most candidates first.
        began: reading of the monotonic clock when the check began.
    """
    tried = []
    for one in measured:
        context = one.context
        slices = _judged_slices(context, one.grouping, one.evidence)
        context.record(rule(context, one.baseline, one.grouping.slices, slices) for rule in OF_VERDICTS.values())
        report = _report(one, with_findings(slices, context.findings), began)
        tried.append((report, per_query_table(one.queries, one.grouping, one.evidence)))
        if report.verdict != "pass":
            break
    return tried


def _report(measured: Measurements, slices: list[Slice], began: float) -> Report:
    """The report of judged slices. `began` is the reading of the monotonic clock when the check began."""
    context, queries, stored = measured.context, measured.queries, measured.stored
    way = context.way_of(measured.k)
    inputs, policy, version = context.inputs, context.policy, context.gallery.version
    reranked = None
    if way is not None:
        rows, model = context.gallery.rows.count, context.model.card.fingerprint
        reranked = costs(stored.stages[NEW_OLD], way, model, rows, kept=inputs.keep)
        context.warnings.append(BEHIND)
    old_model = context.gallery.space.name if has_model(context.objects, context.gallery.space.name) else ""
    return Report(
        gallery=context.gallery.name,
        version=version.number,
        state=version.state,
        model=context.model.card.name,
        fingerprint=way_fingerprint(context.model.card.fingerprint, way),
        verdict=worst([one.verdict for one in slices]),
        why=[*reasons(slices, policy), *remedies(slices, context.model.card, old_model)],
        slices=slices,
        policy=policy.described(),
        truth=inputs.truth,
        gallery_rows=context.gallery.rows.count,
        reencoded_rows=measured.reencoded_rows if way is None else 0,
        ceiling=inputs.ceiling,
        baseline=measured.vectors.baseline,
        flips=flipped([str(one) for one in queries.items.ids.to_pylist()], stored.values, policy.metric),
        scores=stored.scores,
        warnings=context.warnings,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        index=_index_recall(context, queries, measured.vectors),
        thresholds=_transferred_thresholds(context, queries, measured.grouping, stored),
        rows_by=context.gallery.rows_by,
        queries=asked(context, queries, measured.grouping.basis),
        instead_of=list(inputs.instead_of),
        reason=inputs.reason,
        asked_less=asked_less(version.policy_in_force, policy, inputs.truth, slices),
        rows_state=version.rows_state,
        seconds=round(time.monotonic() - began, 2),
        rerank=reranked,
        format=WITHOUT_RERANKING if reranked is None else FORMAT,
    )


def _measure(context: CheckContext) -> list[Measurements]:
    """Admit the queries, and rank what is relevant to them by every model; one result for each way of answering."""
    with decoding_once(), ReencodableRows.opened(context) as reencodable:
        if context.inputs.truth == "reindex" and reencodable.items is not None:
            context = context.on_rows(reencodable.items.ids)
        queries = build_query_set(context, reencodable)
        # Before the long part, so that a wrong expression is reported at once.
        grouping = group_queries(context, queries)
        vectors = query_vectors(context, queries)
        by_k = rank_stored_rows(context, queries, vectors, reencodable)
        first = next(iter(by_k.values()))
        reencoded = rank_reencoded_rows(context, queries, reencodable, first)
    baseline = Baseline(queries.lookup, first.values[OLD_OLD][context.policy.metric], first.grades)
    context.record(rule(context, baseline) for rule in OF_BASELINE.values())
    ceiling = CEILING if context.ceiling else NEW_NEW
    measured = []
    for k, stored in by_k.items():
        evidence = Evidence(stored.values, reencoded, ceiling, grouping.clusters)
        of_way = replace(context, warnings=list(context.warnings), findings=list(context.findings))
        rows = len(reencodable)
        measured.append(Measurements(of_way, queries, grouping, vectors, stored, baseline, evidence, rows, k))
    return measured


def _judged_slices(context: CheckContext, grouping: Grouping, evidence: Evidence) -> list[Slice]:
    """Every slice measured, and its requirements tested and judged together with those of the others.

    Agreement has no requirements: no model agrees with the old one more than it does with itself.
    """
    slices, policy = [], context.policy
    for name, chosen in grouping.slices.items():
        measured = replace(measure_slice(name, evidence, chosen, policy), by_value=name in grouping.by_value)
        required = [] if context.inputs.truth == NEIGHBOURS else requirements_of(name, evidence, chosen, policy)
        slices.append(with_requirements(measured, required, policy.metric))
    return judged(slices, policy)


def _index_recall(context: CheckContext, queries: QuerySet, vectors: QueryVectors) -> IndexRecall | None:
    """The recall of an index on the stored rows for old and new queries; None when it was not asked for."""
    if context.inputs.index is None:
        return None
    rows, similarity = context.gallery.rows, context.gallery.space.metric
    ids = queries.items.ids if queries.lookup.present.any() else None
    old, new = vectors.by_pair[OLD_OLD], vectors.by_pair[NEW_OLD]
    return measure_index(rows, similarity, old, new, context.inputs.index, context.progress, ids)


def _transferred_thresholds(
    context: CheckContext, queries: QuerySet, grouping: Grouping, stored: StoredRanks
) -> list[Threshold]:
    """The thresholds for new scores. Queries of one class are drawn together, unless an identity was named."""
    if not context.inputs.thresholds:
        return []
    old, new = stored.counts[OLD_OLD], stored.counts[NEW_OLD]
    clusters = grouping.clusters if grouping.by_identity else None
    if clusters is None and queries.items.labels is not None:
        clusters = queries.items.labels.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    kept = rule(context.inputs.threshold_rule)
    return [transferred(old, new, one, kept, context.policy.confidence, clusters) for one in context.inputs.thresholds]
