"""Exports a model for another runtime: the list of steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from skipfill.compat.export.pipeline import QueryPipeline, query_pipeline
from skipfill.compat.export.readme import readme
from skipfill.compat.export.registry import FORMATS
from skipfill.compat.export.verify import Verified, items_to_try, read_again, rows_of, verify
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.progress import Progress
from skipfill.store.checks.index import newest_elsewhere
from skipfill.store.checks.report import Report
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.errors import Advice, BadInput, unknown_name
from skipfill.store.galleries.log import newest_versions
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.output_folder import new_folder, refuse_other_contents, write_record

RECORD = "skipfill-export.json"
README = "README.md"
EXAMPLE = np.arange(1, 4)
"""Witness items that an exporter traces: of texts, short ones of several lengths."""


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        contract: what a caller gives and gets, see `QueryPipeline.contract`.
        check: id of the check whose figures are in the README; empty where none has measured the model in this space.
        bytes: of all files.
    """

    format: str
    contract: dict[str, Any]
    verified: Verified
    check: str
    bytes: int

    @property
    def space(self) -> str:
        return str(self.contract["space"])

    @property
    def dim(self) -> int:
        return int(self.contract["output"]["shape"][1])


def export_model(
    objects: ObjectStore,
    name: str,
    output: Path,
    format: str,
    onto: str = "",
    warnings: list[str] | None = None,
    progress: Progress = Progress(),
) -> Exported:
    """Write model `name` as a folder of a format. The folder appears whole and verified, or not at all.

    Args:
        onto: space whose galleries are searched; empty for that of the gallery that the model was trained for.
        warnings: told what could not be verified.

    Raises:
        BadInput: an unknown format, model or view; a part that the format cannot express; vectors that differ from
            skipfill's by more than 1e-5; or a folder that is in use. Nothing is written.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    refuse_other_contents(output, RECORD)
    pipeline = query_pipeline(verified_model(objects, name, warnings), onto)
    report = _newest_report(objects, pipeline)
    _refuse_re_ranking(objects, pipeline)
    chosen = FORMATS[format]
    items = items_to_try(objects, pipeline, no_tokens=chosen.takes_no_tokens)
    with new_folder(output, RECORD) as folder:
        progress.start(f"writing {format}", 1)
        chosen.write(pipeline, folder, rows_of(items, EXAMPLE % len(items.ids)))
        progress.advance(1)
        progress.start("comparing it with skipfill", 1)
        verified = verify(pipeline, read_again(chosen, pipeline, folder, format=format), items, format=format)
        progress.advance(1)
        (folder / README).write_text(readme(format, chosen, pipeline, verified, report), encoding="utf-8")
        contract = pipeline.contract()
        identity = {"model": name, "fingerprint": contract["fingerprint"], "space": pipeline.space}
        write_record(
            folder,
            RECORD,
            {"skipfill": version("skipfill"), "format": format, **identity, "verified": asdict(verified)},
        )
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Exported(format, contract, verified, report.id if report else "", size)


def _newest_report(objects: ObjectStore, pipeline: QueryPipeline) -> Report | None:
    """The newest check of the model's view on a gallery of the space; None where there is none."""
    galleries = [gallery for gallery, one in newest_versions(objects).in_force.items() if one.space == pipeline.space]
    entries = [(gallery, newest_elsewhere(objects, gallery, pipeline.model.card.fingerprint)) for gallery in galleries]
    newest = max(
        ((entry.created, gallery, entry.check) for gallery, entry in entries if entry is not None), default=None
    )
    return None if newest is None else load_report(objects, newest[1], newest[2])


def _refuse_re_ranking(objects: ObjectStore, pipeline: QueryPipeline) -> None:
    """Raise `BadInput` if a gallery of the space re-ranks with the model: one vector does not answer its queries."""
    card = pipeline.model.card
    for gallery, now in newest_versions(objects).in_force.items():
        release = now.release
        if (
            release is not None
            and release.rerank is not None
            and now.space == pipeline.space != card.name
            and release.fingerprint == card.fingerprint
        ):
            raise BadInput(
                f"model {card.name}",
                expected=f"a model whose vector alone answers the queries of gallery {gallery}",
                found=f"a release with {release.rerank}, which compares a second vector with an overlay",
                hint=Advice("export_second_stage", model=card.name),
            )
