"""Measure, on the stored gallery, whether queries of a new model find what those of the old one find, and more."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from skipfill.compat.encoding import write_encoded
from skipfill.compat.evidence import PerQuery, Policy, measure_slice, worst
from skipfill.compat.loaded_model import LoadedModel, load_model, viewed
from skipfill.compat.metrics import METRICS
from skipfill.store.checks import Report, save_report
from skipfill.store.errors import BadInput
from skipfill.store.galleries import Gallery, open_gallery
from skipfill.store.gallery_rows import Columns, StoredRows
from skipfill.store.items import ItemColumns, Items, open_items
from skipfill.store.models import trained_ids
from skipfill.store.objects import Objects
from skipfill.store.release import view_onto
from skipfill.store.relevant_ranks import Queries, relevant_ranks
from skipfill.store.spaces import Metric
from skipfill.store.vector_column import Matrix

TRAINED, OTHERS = "trained-on", "others"


@dataclass(frozen=True)
class CheckInputs:
    """Attributes:
    items: labelled queries that the new model was not trained on.
    gallery_items: items of gallery rows, to measure new/new and the ceiling; those among `items` when empty.
    ceiling: name of an independent model; empty to relate the update gain to new/new.
    """

    items: Sequence[Path]
    gallery_items: Sequence[Path] = ()
    ceiling: str = ""
    columns: ItemColumns = field(default_factory=ItemColumns)


@dataclass(frozen=True)
class Stages:
    """Called as the work goes on, for progress bars."""

    start: Callable[[str, int], None] = lambda what, total: None
    advance: Callable[[int], None] = lambda count: None


def check_model(
    objects: Objects, name: str, model_name: str, inputs: CheckInputs, policy: Policy, stages: Stages = Stages()
) -> Report:
    """Measure model on gallery, save the report and return it.

    The old query vectors are the stored vectors of the queries' own ids where the gallery has them (each query's
    own row is left out of its ranking); otherwise the old model encodes the queries, if it is still at hand.

    Raises:
        BadInput: no labels, no overlap, no view, or no way to get the old query vectors.
    """
    began = time.monotonic()
    gallery = open_gallery(objects, name)
    model = load_model(objects, model_name)
    view = view_onto(model.card, gallery.space.name)
    items = open_items(inputs.items, inputs.columns)
    labels, rows = _with_labels(gallery, items, inputs)
    warnings: list[str] = []
    chosen = _usable(objects, model, items, labels, warnings)
    stages.start(f"encoding queries with {model_name}", len(items))
    own = _encoded(model, items, stages)[chosen]
    query = Queries(items.ids.filter(pa.array(chosen)), labels.filter(pa.array(chosen)), own[:, :0])

    def ranked(vectors: Matrix, over: StoredRows, metric: Metric, what: str) -> dict[str, NDArray[np.float64]]:
        stages.start(what, 2 * len(vectors) * over.count)
        ranks = relevant_ranks(over, Queries(query.ids, query.labels, vectors), metric, stages.advance).ranks
        return {key: np.array([metric_of(one) for one in ranks]) for key, metric_of in METRICS.items()}

    metric = gallery.space.metric
    old, baseline = _old_queries(objects, gallery, items, stages)
    stored: PerQuery = {
        "old/old": ranked(old[chosen], rows, metric, "old/old"),
        "new/old": ranked(viewed(own, view), rows, metric, "new/old"),
    }
    release = gallery.version.release
    if release is not None and release.model not in (gallery.space.name, model_name):
        released = load_model(objects, release.model)
        stages.start(f"encoding queries with {release.model}", len(items))
        theirs = viewed(_encoded(released, items, stages)[chosen], release.view)
        stored["released/old"] = ranked(theirs, rows, metric, "released/old")
    again = _gallery_items(rows, items, inputs)
    reencoded: PerQuery = {}
    count = 0
    if again is not None:
        count = len(again)
        part = rows.restricted(again.ids, count)
        whole = count == rows.count
        reencoded["old/old"] = stored["old/old"] if whole else ranked(old[chosen], part, metric, "old/old, sample")
        new_old = stored["new/old"] if whole else ranked(viewed(own, view), part, metric, "new/old, sample")
        reencoded["new/old"] = new_old
        reencoded["new/new"] = _reindexed(model, own, again, part, ranked, stages)
        if inputs.ceiling:
            top = load_model(objects, inputs.ceiling)
            stages.start(f"encoding queries with {inputs.ceiling}", len(items))
            reencoded["ceiling"] = _reindexed(top, _encoded(top, items, stages)[chosen], again, part, ranked, stages)
        if not whole:
            warnings.append(
                f"new/new and update gain are measured on the {count} of {rows.count} gallery rows whose items are "
                "at hand"
            )
    else:
        warnings.append("new/new and update gain are not measured: give the gallery's items with --gallery-items FILES")
    trained = pc.is_in(query.labels, value_set=pa.array(model.card.trained_labels, pa.string())).to_numpy(
        zero_copy_only=False
    )
    groups = {"all": np.ones(len(trained), bool), TRAINED: trained, OTHERS: ~trained}
    ceiling = "ceiling" if inputs.ceiling else "new/new"
    slices = [
        measure_slice(one, stored, reencoded, ceiling, group, policy) for one, group in groups.items() if group.any()
    ]
    if len(slices) < len(groups):
        missing = TRAINED if not trained.any() else OTHERS
        warnings.append(f"no query belongs to the slice {missing!r}: nothing is known about it")
    verdict = worst([one.verdict for one in slices])
    report = Report(
        gallery=name,
        version=gallery.version.number,
        state=gallery.version.state,
        model=model_name,
        fingerprint=model.card.fingerprint,
        verdict=verdict,
        why=[f"{one.name}: {_reason(one.verdict, one.name, policy)}" for one in slices],
        slices=slices,
        policy=policy.described(),
        gallery_rows=rows.count,
        reencoded_rows=count,
        ceiling=inputs.ceiling,
        baseline=baseline,
        warnings=warnings,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=round(time.monotonic() - began, 2),
    )
    return save_report(objects, report, _per_query(query, trained, stored, reencoded))


def _reason(verdict: str, name: str, policy: Policy) -> str:
    if name in policy.accept_worse:
        return "accepted as it is, by --accept-worse"
    better = "better" if name == "all" else f"at most {policy.margin:g} worse"
    claim = {"pass": "is", "fail": "is not", "inconclusive": "may or may not be"}[verdict]
    return f"new/old {claim} {better} in {policy.metric} ({policy.confidence:.0%} confidence)"


def _with_labels(gallery: Gallery, items: Items, inputs: CheckInputs) -> tuple[pa.Array, StoredRows]:
    if items.labels is None:
        raise BadInput(
            items.where,
            expected="labelled queries (a label column)",
            found="no labels",
            hint="Name the label column with --label COLUMN.",
        )
    if not gallery.rows.columns.label:
        raise BadInput(
            f"gallery {gallery.name}",
            expected="a label column, to know which rows are relevant",
            found="none registered",
            hint=f"Register the files again with --label COLUMN: skipfill gallery add NAME FILES... --space "
            f"{gallery.space.name} --label COLUMN",
        )
    return items.labels, gallery.rows


def _usable(
    objects: Objects, model: LoadedModel, items: Items, labels: pa.Array, warnings: list[str]
) -> NDArray[np.bool_]:
    """Queries that have a label and that the model was not trained on."""
    seen = trained_ids(objects, model.card)
    trained = (
        pc.is_in(items.ids, value_set=seen).to_numpy(zero_copy_only=False)
        if seen.type == items.ids.type
        else np.zeros(len(items), bool)
    )
    labelled: NDArray[np.bool_] = labels.is_valid().to_numpy(zero_copy_only=False)
    if trained.any():
        warnings.append(f"{trained.sum()} queries left out: model {model.card.name} was trained on them")
    if not labelled.all():
        warnings.append(f"{(~labelled).sum()} queries left out: they have no label")
    usable = labelled & ~trained
    if not usable.any():
        raise BadInput(
            items.where,
            expected=f"labelled items that model {model.card.name} was not trained on",
            found="none",
            hint="Keep some items out of the training: skipfill train ... --items TRAIN.parquet",
        )
    chosen: NDArray[np.bool_] = usable
    return chosen


def _encoded(model: LoadedModel, items: Items, stages: Stages) -> Matrix:
    parts = []
    for ids, vectors in model.encode(items):
        parts.append(vectors)
        stages.advance(len(ids))
    return np.concatenate(parts)


def _old_queries(objects: Objects, gallery: Gallery, items: Items, stages: Stages) -> tuple[Matrix, str]:
    """The queries' vectors by the old model, and where they come from."""
    stored = np.zeros((len(items), gallery.space.dim), np.float32)
    found = np.zeros(len(items), bool)
    if items.ids.type == gallery.rows.id_kind:
        stages.start("looking up stored query vectors", gallery.rows.count)
        for block in gallery.rows.blocks():
            at = pc.fill_null(pc.index_in(block.ids, value_set=items.ids), -1).to_numpy(zero_copy_only=False)
            stored[at[at >= 0]], found[at[at >= 0]] = block.vectors[at >= 0], True
            stages.advance(len(block.ids))
    if found.all():
        return stored, "stored vectors of the queries' ids"
    try:
        old = load_model(objects, gallery.space.name)
    except BadInput as error:
        raise BadInput(
            items.where,
            expected=f"queries whose ids gallery {gallery.name} stores, since old model {gallery.space.name} is gone",
            found=f"{int((~found).sum())} of {len(items)} ids that it does not have",
            hint="Choose held-out items that are rows of the gallery.",
        ) from error
    if old.card.fingerprint != gallery.space.fingerprint:
        raise BadInput(
            f"model {old.card.name}",
            expected=f"the encoder that filled the gallery ({gallery.space.fingerprint[:12]})",
            found=f"another ({old.card.fingerprint[:12]})",
        )
    stages.start(f"encoding queries with {old.card.name}", len(items))
    return _encoded(old, items, stages), f"encoded by {old.card.name}"


def _gallery_items(rows: StoredRows, items: Items, inputs: CheckInputs) -> Items | None:
    """Items of the gallery's own rows, to encode them again."""
    source = open_items(inputs.gallery_items, inputs.columns) if inputs.gallery_items else items
    if source.ids.type != rows.id_kind:
        return None
    known = np.zeros(len(source), bool)
    labels = np.full(len(source), None, object)
    for block in rows.blocks():
        at = pc.fill_null(pc.index_in(block.ids, value_set=source.ids), -1).to_numpy(zero_copy_only=False)
        known[at[at >= 0]] = True
        if block.labels is not None:
            labels[at[at >= 0]] = np.asarray(block.labels.to_pylist(), object)[at >= 0]
    if known.sum() < 2:
        return None
    return source.restricted(known, pa.array(labels[known], pa.string()))


Ranked = Callable[[Matrix, StoredRows, Metric, str], dict[str, NDArray[np.float64]]]


def _reindexed(
    model: LoadedModel, queries: Matrix, items: Items, part: StoredRows, ranked: Ranked, stages: Stages
) -> dict[str, NDArray[np.float64]]:
    """Per-query values when gallery and queries are both encoded by `model`, labels as stored in the gallery."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "reencoded.parquet"
        stages.start(f"encoding gallery items with {model.card.name}", len(items))
        write_encoded(model, items, path, stages.advance)
        rows = StoredRows.open([path], Columns(label="label"), model.card.dim)
        return ranked(queries, rows, "cosine", f"{model.card.name}/{model.card.name}")


def _per_query(query: Queries, trained: NDArray[np.bool_], stored: PerQuery, reencoded: PerQuery) -> pa.Table:
    columns = {
        "id": query.ids,
        "label": query.labels,
        "slice": pa.array(np.where(trained, TRAINED, OTHERS)),
    }
    for where, cells in (("", stored), ("sample ", reencoded)):
        for pair, metrics in cells.items():
            for metric, values in metrics.items():
                columns[f"{where}{pair} {metric}"] = pa.array(values)
    return pa.table(columns)
