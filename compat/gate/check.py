"""Measure, on the stored gallery, whether queries of a new model find what those of the old one find, and judge it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skipfill.compat.evaluation.index.recall import measure_index
from skipfill.compat.evaluation.index.settings import IndexSettings
from skipfill.compat.evaluation.per_query import distribution, score_counts
from skipfill.compat.evaluation.statistics.score_histogram import ScoreCounts
from skipfill.compat.evaluation.statistics.threshold_transfer import transferred
from skipfill.compat.gate.baseline import old_queries
from skipfill.compat.gate.evidence import Evidence, PerQuery, flipped, measure_slice
from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.gate.queries import QuerySet, asked, ground_truth, open_queries, units_of
from skipfill.compat.gate.ranker import Ranker
from skipfill.compat.gate.reasons import reasons
from skipfill.compat.gate.reencoded import ReencodableRows
from skipfill.compat.gate.slices import ALL, OTHERS, TRAINED, Groups, grouped
from skipfill.compat.gate.verdict import Policy, adjusted, worst
from skipfill.compat.inference.encode import encoded
from skipfill.compat.inference.load import LoadedModel, viewed
from skipfill.compat.inference.released import released_model
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.metrics.ranking import Metric
from skipfill.compat.metrics.registry import ALWAYS, FORMS, metric
from skipfill.compat.progress import Progress
from skipfill.store.checks.report import IndexRecall, Report, ScoreDistribution, Slice, Threshold
from skipfill.store.checks.saved_reports import save_report
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.models.cards import view_onto
from skipfill.store.models.files import trained_ids
from skipfill.store.parquet.query_sql import QueryColumns
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import ObjectStore


def check_model(
    objects: ObjectStore,
    name: str,
    model_name: str,
    inputs: CheckInputs,
    policy: Policy,
    progress: Progress = Progress(),
) -> Report:
    """Measure model on gallery, save the report and return it.

    The old query vectors are the stored vectors of the queries' own ids where the gallery has them all (each query's
    own row is left out of its ranking); otherwise the old model encodes the queries, if it is still at hand.

    Raises:
        BadInput: no ground truth, no overlap, no view, no way to get the old query vectors, or a metric or slice that
            is not known.
    """
    began = time.monotonic()
    metrics = _metrics(policy)
    gallery = open_gallery(objects, name)
    warnings: list[str] = []
    model = verified_model(objects, model_name, warnings)
    top = verified_model(objects, inputs.ceiling, warnings) if inputs.ceiling else None
    view_onto(model.card, gallery.space.name)
    _refuse_thresholds(inputs, gallery)
    with ReencodableRows.opened(gallery.rows, inputs, progress) as at_hand:
        rows = gallery.rows
        if inputs.truth == "reindex" and at_hand.items is not None:
            rows = rows.restricted(at_hand.items.ids, len(at_hand))
            if rows.count < gallery.rows.count:
                asked = "those whose items are given (--gallery-items)"
                warnings.append(f"measured on {rows.count:,} of {gallery.rows.count:,} stored rows: {asked}")
        measured_on = replace(gallery, rows=rows)
        queries = _asked(objects, measured_on, model, top, at_hand, inputs, progress, warnings)
        # Whatever is wrong with what was asked for is found before the long part.
        columns = QueryColumns(queries.items, gallery.rows, _computed(queries))
        groups = grouped(inputs.slices, columns, queries.facts.known)
        _refuse_unknown(policy, groups)
        identity = columns.texts(inputs.identity) if inputs.identity else None
        units = units_of(identity, queries.own)
        if identity is None and (again := len(units) - len(np.unique(units))):
            warnings.append(f"{again} queries have the very vector of another: together they count as one")
        ranker = Ranker(queries, metrics, progress)
        vectors, baseline = _query_vectors(objects, measured_on, model, queries, inputs, progress, warnings)
        stored, scores, counts = _on_stored_rows(ranker, measured_on, vectors)
        reencoded = _on_rows_at_hand(ranker, measured_on, at_hand, model, top, stored, vectors, warnings)
        index = _index(measured_on, queries, vectors, inputs.index, progress)
    thresholds = _thresholds(inputs, counts, queries, units if identity else None, policy)
    evidence = Evidence(stored, reencoded, "ceiling" if top else "new/new", units)
    slices = _judged(evidence, groups, queries, policy)
    report = Report(
        gallery=name,
        version=gallery.version.number,
        state=gallery.version.state,
        model=model_name,
        fingerprint=model.card.fingerprint,
        verdict=worst([one.verdict for one in slices]),
        why=reasons(slices, policy),
        slices=slices,
        policy=policy.described(),
        truth=inputs.truth,
        gallery_rows=rows.count,
        reencoded_rows=len(at_hand),
        ceiling=inputs.ceiling,
        baseline=baseline,
        flips=flipped([str(one) for one in queries.items.ids.to_pylist()], stored, policy.metric),
        scores=scores,
        warnings=warnings,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - began, 2),
        index=index,
        thresholds=thresholds,
        rows_by=gallery.rows_by,
    )
    return save_report(objects, report, _per_query(queries, groups, units, stored, reencoded))


def _metrics(policy: Policy) -> dict[str, Metric]:
    found = {name: metric(name) for name in dict.fromkeys((policy.metric, *ALWAYS))}
    if found[policy.metric] is None:
        raise unknown_name("metric", policy.metric, FORMS)
    return {name: one for name, one in found.items() if one is not None}


def _asked(
    objects: ObjectStore,
    gallery: Gallery,
    model: LoadedModel,
    top: LoadedModel | None,
    at_hand: ReencodableRows,
    inputs: CheckInputs,
    progress: Progress,
    warnings: list[str],
) -> QuerySet:
    seen = trained_ids(objects, model.card)
    items = open_queries(gallery, model, seen, inputs, warnings)
    own = encoded(model, items, progress)
    judge = top or model
    judging = own if judge is model or inputs.truth != "reindex" else encoded(judge, items, progress)
    truth = ground_truth(gallery, items, judging, judge, at_hand, inputs, progress)
    return asked(gallery, items, truth, own, model.card.trained_labels, seen, inputs, progress, warnings)


def _query_vectors(
    objects: ObjectStore,
    gallery: Gallery,
    model: LoadedModel,
    queries: QuerySet,
    inputs: CheckInputs,
    progress: Progress,
    warnings: list[str],
) -> tuple[dict[str, Matrix], str]:
    """The queries in the gallery's space by the old, the new and, if it is another, the released model."""
    old, baseline = old_queries(objects, gallery, model, queries.items, queries.facts, inputs, progress, warnings)
    vectors = {"old/old": old, "new/old": viewed(queries.own, view_onto(model.card, gallery.space.name))}
    release = gallery.version.release
    if release is not None and release.fingerprint not in (gallery.space.fingerprint, model.card.fingerprint):
        released = released_model(objects, gallery, warnings)
        vectors["released/old"] = viewed(encoded(released, queries.items, progress), release.view)
    return vectors, baseline


def _on_stored_rows(
    ranker: Ranker, gallery: Gallery, vectors: dict[str, Matrix]
) -> tuple[PerQuery, list[ScoreDistribution], dict[str, ScoreCounts]]:
    stored: PerQuery = {}
    scores = []
    counts = {}
    for pair, one in vectors.items():
        found = ranker.ranks(pair, one, gallery.rows, gallery.space.metric)
        stored[pair] = ranker.values(found)
        scores.append(distribution(pair, found))
        counts[pair] = score_counts(found)
    return stored, scores, counts


def _on_rows_at_hand(
    ranker: Ranker,
    gallery: Gallery,
    at_hand: ReencodableRows,
    model: LoadedModel,
    top: LoadedModel | None,
    stored: PerQuery,
    vectors: dict[str, Matrix],
    warnings: list[str],
) -> PerQuery:
    if at_hand.items is None:
        warnings.append("new/new and update gain are not measured: give the gallery's items with --gallery-items FILES")
        return {}
    if len(at_hand) < gallery.rows.count:
        warnings.append(
            f"new/new and update gain are measured on the {len(at_hand)} of {gallery.rows.count} gallery rows whose "
            "items are at hand"
        )
    found = ranker.on_rows_at_hand(gallery, at_hand, stored, vectors)
    found["new/new"] = ranker.reindexed(model, ranker.asked.own, at_hand)
    if top is not None:
        found["ceiling"] = ranker.reindexed(top, encoded(top, ranker.asked.items, ranker.progress), at_hand)
    return found


def _index(
    gallery: Gallery, queries: QuerySet, vectors: dict[str, Matrix], settings: IndexSettings | None, progress: Progress
) -> IndexRecall | None:
    if settings is None:
        return None
    old, new = vectors["old/old"], vectors["new/old"]
    ids = queries.items.ids if queries.facts.found.any() else None
    return measure_index(gallery.rows, gallery.space.metric, old, new, settings, progress, ids)


def _thresholds(
    inputs: CheckInputs,
    counts: dict[str, ScoreCounts],
    queries: QuerySet,
    units: NDArray[np.int64] | None,
    policy: Policy,
) -> list[Threshold]:
    """Queries of one class share their fate: they are drawn together, unless it was said which ones are."""
    labels = queries.items.labels
    if units is None and labels is not None:
        units = labels.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return [
        transferred(counts["old/old"], counts["new/old"], one, inputs.threshold_rule, policy.confidence, units)
        for one in inputs.thresholds
    ]


def _computed(queries: QuerySet) -> dict[str, pa.Array]:
    return {"known": pa.array(_known(queries)), "relevant": pa.array(queries.facts.relevant)}


def _known(queries: QuerySet) -> NDArray[np.str_]:
    return np.where(queries.facts.known, TRAINED, OTHERS)


def _refuse_thresholds(inputs: CheckInputs, gallery: Gallery) -> None:
    if inputs.thresholds and gallery.space.metric != "cosine":
        raise BadInput("--threshold", expected="a gallery searched by cosine", found=f"one by {gallery.space.metric}")


def _refuse_unknown(policy: Policy, groups: Groups) -> None:
    for one in policy.accept_worse:
        if one not in groups or one == ALL:
            raise unknown_name("slice", one, [name for name in groups if name != ALL], where="--accept-worse")


def _judged(evidence: Evidence, groups: Groups, queries: QuerySet, policy: Policy) -> list[Slice]:
    """Every slice measured, and what is asked of it judged. One of the two that are always there may have no queries:
    that says nothing where the gallery has no rows of its kind either, and is left out."""
    held = dict(zip((TRAINED, OTHERS), queries.facts.holds, strict=True))
    kept = {name: group for name, group in groups.items() if group.any() or held.get(name, True)}
    return adjusted([measure_slice(name, evidence, group, policy) for name, group in kept.items()], policy)


def _per_query(
    queries: QuerySet, groups: Groups, units: NDArray[np.int64], stored: PerQuery, reencoded: PerQuery
) -> pa.Table:
    items = queries.items
    columns = {"id": items.ids}
    if items.labels is not None:
        columns["label"] = items.labels
    columns |= {"slice": pa.array(_known(queries)), "unit": pa.array(units)}
    for name, group in list(groups.items())[3:]:
        columns[f"slice {name}"] = pa.array(group)
    for where, cells in (("", stored), ("sample ", reencoded)):
        for pair, metrics in cells.items():
            for name, values in metrics.items():
                columns[f"{where}{pair} {name}"] = pa.array(values)
    return pa.table(columns)
