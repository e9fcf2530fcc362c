"""skipfill check"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from skipfill.cli.options import (
    AcceptWorse,
    Confidence,
    FlipBudget,
    GalleryName,
    GitHub,
    HtmlFile,
    IdColumn,
    InputColumn,
    Json,
    JunitFile,
    LabelColumn,
    LeastQueries,
    Margin,
    Metric,
    ModelName,
    MostLeftOut,
    NotWorse,
    Quiet,
    Store,
    item_columns,
    opened,
    with_options,
)
from skipfill.cli.options.check import (
    Ceiling,
    Depth,
    GalleryItems,
    Identity,
    Index,
    InsteadOf,
    Items,
    Judgements,
    NoSave,
    OldInput,
    OldVector,
    Reason,
    Slice,
    SliceBy,
    Threshold,
    ThresholdRule,
    Truth,
    TruthVector,
)
from skipfill.cli.options.engine import EngineName, RayAddress, UseCache, cache_of, engine_of
from skipfill.cli.options.reranking import Candidates, Keep, RerankSeveral, numbers_of_candidates
from skipfill.cli.reports.outlook import outlook_of
from skipfill.cli.terminal.printing import emit
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.compat.gate.inputs import CheckInputs
    from skipfill.store.checks.policy import Policy
    from skipfill.store.checks.report import Report
    from skipfill.store.storage.object_store import ObjectStore

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


def check(
    gallery: GalleryName,
    name: ModelName,
    items: Items,
    gallery_items: GalleryItems = None,
    judgements: Judgements = None,
    truth: Truth = "",
    depth: Depth = 10,
    ceiling: Ceiling = "",
    slice: Slice = None,
    slice_by: SliceBy = None,
    identity: Identity = "",
    metric: Metric = None,
    margin: Margin = None,
    confidence: Confidence = None,
    not_worse: NotWorse = None,
    flip_budget: FlipBudget = None,
    accept_worse: AcceptWorse = None,
    least_queries: LeastQueries = None,
    most_left_out: MostLeftOut = None,
    id_column: IdColumn = "id",
    label: LabelColumn = "label",
    input_column: InputColumn = "",
    old_vector: OldVector = "",
    old_input: OldInput = "",
    truth_vector: TruthVector = "",
    index: Index = "",
    threshold: Threshold = None,
    threshold_rule: ThresholdRule = "far",
    rerank: RerankSeveral = None,
    candidates: Candidates = "",
    keep: Keep = False,
    instead_of: InsteadOf = None,
    reason: Reason = "",
    junit: JunitFile = None,
    html: HtmlFile = None,
    github: GitHub = False,
    no_save: NoSave = False,
    engine: EngineName = "local",
    address: RayAddress = "",
    cache: UseCache = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure on the stored gallery whether a model is safe to swap to.

    To pass, all queries together must be better than now. The queries of classes that the model was trained on, those
    of all other classes, and each slice must not be worse by more than the margin. Exit 0: pass, 1: fail, 3: not enough
    evidence.

    Example: skipfill check products v2 --items heldout.parquet
    """
    from skipfill.cli.reports import refuse_unwritable, write_reports
    from skipfill.cli.reports.next_steps import show_next_steps
    from skipfill.cli.reports.text import show_report
    from skipfill.compat.evaluation.index.settings import read_index
    from skipfill.compat.gate.inputs import CheckInputs, SliceSpec
    from skipfill.store.galleries.log import latest

    of_gallery = (now := latest(objects := opened(store), gallery)).policy_in_force
    policy = with_options(
        of_gallery,
        metric=metric or (f"recall@{depth}" if truth == "neighbours" else None),
        confidence=confidence,
        margin=margin,
        better=None if not_worse is None else not not_worse,
        flip_budget=flip_budget,
        accept_worse=accept_worse,
        least_queries=least_queries,
        most_left_out=most_left_out,
    )
    predicates = [*policy.slices, *(one for one in slice or [] if one not in policy.slices)]
    inputs = CheckInputs(
        items=items,
        gallery_items=gallery_items or [],
        ceiling=ceiling,
        truth=truth or ("judgements" if judgements else of_gallery.truth or "labels"),
        judgements=judgements,
        depth=depth,
        identity=identity,
        old_vector=old_vector,
        old_input=old_input,
        truth_vector=truth_vector,
        slices=SliceSpec(predicates, slice_by or [], policy.least_queries),
        index=read_index(index) if index else None,
        thresholds=threshold or [],
        threshold_rule=threshold_rule,
        columns=item_columns(id_column, label, input_column, items, quiet=quiet, other_than=old_vector),
        instead_of=instead_of or [],
        reason=reason,
        rerank=numbers_of_candidates(rerank),
        candidates=candidates,
        keep=keep,
    )
    refuse_unwritable(junit, html, github=github, inputs=inputs.files, store=objects.root)
    _refuse_unknown(objects, now.space, name, inputs)
    report = _run(objects, gallery, name, inputs, policy, engine, address, cache=cache, quiet=quiet, save=not no_save)
    outlook, code = outlook_of(objects, report), EXIT_CODES[report.verdict]
    write_reports(report, outlook, junit_file=junit, html_file=html, github=github, json=json)
    document, root = outlook.document_of(report), objects.root
    emit(document, as_json=json, show=lambda out: show_report(out, report, outlook, root), exit_code=code)
    show_next_steps(report, outlook.following, inputs, policy, of_gallery, metric, quiet=quiet)
    raise typer.Exit(code)


def _run(
    objects: ObjectStore,
    gallery: str,
    name: str,
    inputs: CheckInputs,
    policy: Policy,
    engine: str,
    address: str,
    *,
    cache: bool,
    quiet: bool,
    save: bool,
) -> Report:
    """The check, with its progress shown."""
    from skipfill.compat.gate.check import check_model  # only now: it imports torch, which takes seconds
    from skipfill.compat.progress import Progress

    copies = cache_of(engine, used=cache, quiet=quiet)
    with engine_of(engine, address) as run_by, progress(quiet=quiet) as bar:
        stages = Progress(bar.start, bar.advance)
        return check_model(objects, gallery, name, inputs, policy, stages, save=save, engine=run_by, cache=copies)


def _refuse_unknown(objects: ObjectStore, space: str, name: str, inputs: CheckInputs) -> None:
    """Raise `BadInput` where a file or a model is missing, or model `name` has no view onto the space."""
    from skipfill.store.models.cards import load_card, view_onto
    from skipfill.store.parquet.formats.folders import item_files

    item_files(inputs.items)
    item_files(inputs.gallery_items)
    view_onto(load_card(objects, name), space)
    if inputs.ceiling:
        load_card(objects, inputs.ceiling)
