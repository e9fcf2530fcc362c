"""The forms of every JSON document by the command that prints it.

To add one: its dataclass in this folder, and its line below.

Nothing that commands do needs this table: the schemas in `schemas/` are made from it, and tests compare them.
"""

from __future__ import annotations

from typing import Any

from skipfill.cli.documents.checks import CheckDocument, DemoDocument, MatrixDocument, PolicyDocument
from skipfill.cli.documents.galleries import (
    DroppedGalleryDocument,
    GalleryDocument,
    GalleryListDocument,
    RefreshedGalleryDocument,
    VerifiedGalleryDocument,
)
from skipfill.cli.documents.guide import (
    ErrorDocument,
    PageDocument,
    SchemaDocument,
    SchemaNamesDocument,
    TopicsDocument,
)
from skipfill.cli.documents.json_schema import Absent, Form, Schema, schema_of
from skipfill.cli.documents.maintenance import DoctorDocument, InitDocument, PruneDocument
from skipfill.cli.documents.models import (
    AddedModelDocument,
    DroppedModelDocument,
    EncodedDocument,
    ExportedModelDocument,
    MethodsDocument,
    ModelDocument,
    ModelListDocument,
    TrainedModelDocument,
)
from skipfill.cli.documents.overlays import (
    ChangedOverlayDocument,
    OverlayDocument,
    OverlayHistoryDocument,
    OverlayListDocument,
)
from skipfill.cli.documents.releases import (
    AlreadySwappedDocument,
    HistoryDocument,
    PlanDocument,
    RollbackDocument,
    StatusDocument,
    StatusLine,
    StatusOfAllDocument,
    SwapDocument,
)
from skipfill.cli.documents.running_models import (
    AdviceDocument,
    BlendDocument,
    ExportedFolderDocument,
    FilledOverlayDocument,
)
from skipfill.cli.documents.search import HitDocument, SearchDocument
from skipfill.compat.advice.advise import Advised
from skipfill.compat.training.loop.epoch_log import Epoch
from skipfill.store.checks.report import Report
from skipfill.store.galleries.log import Version
from skipfill.store.models.release import Release
from skipfill.store.releases.plan import Plan

DOCUMENTS: dict[str, tuple[type[Any], ...]] = {
    "init": (InitDocument,),
    "gallery add": (GalleryDocument,),
    "gallery append": (GalleryDocument,),
    "gallery show": (GalleryDocument,),
    "gallery list": (GalleryListDocument,),
    "gallery refresh": (RefreshedGalleryDocument,),
    "gallery verify": (GalleryDocument, VerifiedGalleryDocument),
    "gallery drop": (DroppedGalleryDocument,),
    "train": (TrainedModelDocument,),
    "methods": (MethodsDocument,),
    "blend": (BlendDocument,),
    "encode": (EncodedDocument,),
    "model list": (ModelListDocument,),
    "model show": (ModelDocument,),
    "model export": (ExportedModelDocument, ExportedFolderDocument),
    "model add": (AddedModelDocument,),
    "model drop": (DroppedModelDocument,),
    "advise": (AdviceDocument,),
    "check": (CheckDocument,),
    "report": (CheckDocument,),
    "policy": (PolicyDocument,),
    "matrix": (MatrixDocument,),
    "plan": (PlanDocument, Plan),
    "swap": (SwapDocument, AlreadySwappedDocument),
    "rollback": (RollbackDocument,),
    "search": (SearchDocument,),
    "overlay add": (FilledOverlayDocument,),
    "overlay list": (OverlayListDocument,),
    "overlay show": (OverlayHistoryDocument,),
    "overlay verify": (OverlayDocument,),
    "overlay rollback": (ChangedOverlayDocument,),
    "overlay drop": (ChangedOverlayDocument,),
    "status": (StatusDocument, StatusOfAllDocument, StatusLine),
    "history": (HistoryDocument,),
    "doctor": (DoctorDocument,),
    "prune": (PruneDocument,),
    "demo": (DemoDocument,),
    "guide": (TopicsDocument, PageDocument),
    "schema": (SchemaNamesDocument, SchemaDocument),
}
"""Command -> the forms of what it prints with `--json`, besides an error."""
FILES: dict[str, tuple[str, type[Any]]] = {
    "plan-file": ("File of `skipfill plan -o FILE`, for `skipfill swap --plan FILE`", Plan),
    "training-log": ("Line of `skipfill train --log FILE`, which is NDJSON", Epoch),
}
"""Other JSON: name of the schema -> title and form."""
PRINTED: dict[type[Any], tuple[str, ...]] = {StatusLine: ("schema_version",), Plan: (), Epoch: ()}
"""The keys that printing adds, where they are not all of them."""
MAY_LACK: Absent = {
    Version: frozenset({"policy"}),
    Release: frozenset({"rerank"}),
    Report: frozenset({"rerank"}),
    Plan: frozenset({"rerank"}),
    HitDocument: frozenset({"scored_by"}),
}
"""Fields that documents of an older format lack, and fields that only some rows have."""
NEVER: Absent = {Advised: frozenset({"halves"})}
"""Fields that are not printed."""


def document_schemas() -> dict[str, Schema]:
    """The schema of every document by name; `gallery add` has the name `gallery-add`."""
    schemas = {
        name.replace(" ", "-"): (f"Output of `skipfill {name} --json`", (*kinds, ErrorDocument))
        for name, kinds in DOCUMENTS.items()
    }
    schemas["error"] = ("Output of a command that failed, with `--json`", (ErrorDocument,))
    schemas |= {name: (title, (kind,)) for name, (title, kind) in FILES.items()}
    return {
        name: schema_of(name, title, [_form(kind) for kind in kinds], MAY_LACK, NEVER)
        for name, (title, kinds) in schemas.items()
    }


def _form(kind: type[Any]) -> Form:
    return Form(kind, PRINTED[kind]) if kind in PRINTED else Form(kind)
