"""Context of a check, which its steps share: inputs and policy; gallery and models, opened and verified once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from skipfill.compat.gate.admission.ruling import Finding, Ruling
from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.progress import Progress
from skipfill.store.checks.index import refuse_unknown_checks
from skipfill.store.checks.names import todays
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.reranking import CandidatesBy, Reranking, way_fingerprint
from skipfill.store.engine.engine import LOCAL, Engine
from skipfill.store.errors import Advice, BadInput, Parameter
from skipfill.store.galleries.gallery import Gallery, open_gallery
from skipfill.store.galleries.kept import MOST_BYTES, KeptFiles
from skipfill.store.galleries.verify import BoundGallery
from skipfill.store.models.cards import has_model, serves, view_onto
from skipfill.store.models.files import TrainedContent, trained_content, trained_ids
from skipfill.store.parquet.formats.folders import is_beir
from skipfill.store.parquet.formats.recognise import open_rows
from skipfill.store.parquet.ids import IdSet
from skipfill.store.parquet.inputs import refuse_no_column
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.packed.cache import PackedCache
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.retrieval.judgements import judged_queries
from skipfill.store.storage.object_store import ObjectStore


@dataclass(frozen=True)
class CheckContext:
    """Everything that the steps of a check share.

    Attributes:
        bound: the gallery as it is now. Everything read of it is compared with what was registered.
        gallery: the same, perhaps with fewer rows: those that the check measures on.
        model: the one that is checked, verified.
        ceiling: an independent model, verified; None to relate the update gain to new/new.
        pins: keep each file of queries and items in the state in which it was opened.
        training_ids: ids of the items that the model was trained on.
        training_content: digests of the same items.
        warnings: what the report will warn of; every step adds to it.
        findings: reasons why the check is at best inconclusive; every step adds to it.
        candidates: the query that finds candidates for re-ranking, where the check asks for that.
        engine: encodes items and reads the gallery.
    """

    objects: ObjectStore
    bound: BoundGallery
    gallery: Gallery
    model: LoadedModel
    ceiling: LoadedModel | None
    training_ids: IdSet
    training_content: TrainedContent
    inputs: CheckInputs
    policy: Policy
    progress: Progress
    pins: PinnedFiles = field(default_factory=partial(PinnedFiles, open_rows))
    warnings: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    candidates: CandidatesBy = "old"
    engine: Engine = LOCAL

    @classmethod
    def opened(
        cls,
        objects: ObjectStore,
        gallery_name: str,
        model_name: str,
        inputs: CheckInputs,
        policy: Policy,
        progress: Progress,
        engine: Engine = LOCAL,
        cache: PackedCache | None = None,
    ) -> CheckContext:
        """Open the gallery and load the models.

        Raises:
            BadInput: an unknown gallery or model, a model that no longer encodes as when it was saved, one without a
                view onto the gallery's space, thresholds for a gallery that is not searched by cosine, no column of
                the name given for old vectors, or no old vectors at all.
        """
        bound = BoundGallery.of(open_gallery(objects, gallery_name, cache))
        _refuse_no_old_vectors(objects, bound.gallery, inputs)  # at once: loading models takes longer
        gallery = replace(bound.gallery, rows=KeptFiles(bound.gallery.rows, MOST_BYTES).rows)
        warnings: list[str] = []
        model = verified_model(objects, model_name, warnings)
        ceiling = verified_model(objects, inputs.ceiling, warnings) if inputs.ceiling else None
        view_onto(model.card, gallery.space.name)
        if inputs.thresholds and gallery.space.metric != "cosine":
            raise BadInput(
                Parameter("threshold"), expected="a gallery searched by cosine", found=f"one by {gallery.space.metric}"
            )
        context = cls(
            objects=objects,
            bound=bound,
            gallery=gallery,
            model=model,
            ceiling=ceiling,
            training_ids=trained_ids(objects, model.card),
            training_content=trained_content(objects, model.card),
            inputs=inputs,
            policy=replace(policy, accept_worse=todays(policy.accept_worse)),
            progress=progress,
            warnings=warnings,
            candidates=_candidates(objects, gallery, inputs),
            engine=engine,
        )
        for way in context.ways:
            refuse_unknown_checks(objects, gallery_name, gallery.version.rows_state, way, inputs.instead_of)
        return context

    @property
    def ks(self) -> tuple[int, ...]:
        """The numbers of candidates that are tried, each once, the largest first."""
        return tuple(sorted(set(self.inputs.rerank), reverse=True))

    def way_of(self, k: int) -> Reranking | None:
        """Re-ranking of `k` candidates as the check asks for it; None for 0: the model's view alone."""
        return Reranking(k, self.candidates) if k else None

    @property
    def ways(self) -> set[str]:
        """Fingerprints of the ways of answering queries that are checked."""
        return {way_fingerprint(self.model.card.fingerprint, self.way_of(k)) for k in self.ks or (0,)}

    def open_items(self, files: Sequence[Path]) -> Items:
        """Open files of queries or of items, each in the state in which it was opened first.

        A BEIR folder has the queries of all its parts; only those that the judgements name count.
        """
        items, judgements = open_items(files, self.inputs.columns, self.pins), self.inputs.judgements
        if judgements is None or not any(map(is_beir, files)):
            return items
        judged = IdSet.of([judged_queries(judgements, items.ids.type)]).holds(items.ids)
        return items.restricted(judged) if judged.any() else items

    def confirm_files(self) -> None:
        """Confirm that gallery, queries and items did not change since they were registered or opened.

        Raises:
            Stale: one of them did.
        """
        self.bound.confirm(self.engine)
        self.pins.confirm()

    def record(self, rulings: Iterable[Ruling]) -> None:
        """Keep notes and findings of admission for the report."""
        for ruling in rulings:
            self.warnings.extend(ruling.notes)
            self.findings.extend(ruling.findings)

    def on_rows(self, ids: pa.Array) -> CheckContext:
        """The same check on the gallery's rows of these ids only; warns where they are not all rows."""
        rows = self.gallery.rows.restricted(ids, len(ids))
        if rows.count < self.gallery.rows.count:
            self.warnings.append(
                f"measured on {rows.count:,} of {self.gallery.rows.count:,} stored rows: those whose items are given"
            )
        return replace(self, gallery=replace(self.gallery, rows=rows))


def _candidates(objects: ObjectStore, gallery: Gallery, inputs: CheckInputs) -> CandidatesBy:
    """The query that finds candidates: as asked, or else the old one if it is available when queries are served.

    Raises:
        BadInput: the old one is asked for, and is not available.
    """
    old_serves = bool(inputs.old_vector) or serves(objects, gallery.space)
    if inputs.candidates == "old" and not old_serves:
        raise BadInput(
            Parameter("candidates", "old"),
            expected=f"model {gallery.space.name} in the store, or a column of its query vectors",
            found="neither",
            hint=Advice("candidates_by_view"),
        )
    if inputs.candidates:
        return "old" if inputs.candidates == "old" else "view"
    return "old" if old_serves else "view"


def _refuse_no_old_vectors(objects: ObjectStore, gallery: Gallery, inputs: CheckInputs) -> None:
    """Refuse a missing column of old vectors; without the option, refuse if neither a model nor the gallery has any.

    Raises:
        BadInput: see above.
    """
    if inputs.old_vector:
        refuse_no_column(inputs.items, inputs.old_vector, "old_vector")
    elif not inputs.queries_are_rows and not has_model(objects, gallery.space.name):
        raise BadInput(
            inputs.items[0],
            expected=f"old vectors of the queries, since old model {gallery.space.name} is gone",
            found="none",
            hint=Advice("bring_old_vectors"),
        )
