"""skipfill model export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from skipfill.cli import completion
from skipfill.cli.options import Json, ModelName, Quiet, Store, opened
from skipfill.cli.terminal.next_command import quoted
from skipfill.cli.terminal.printing import emit, show_next
from skipfill.cli.terminal.progress import progress

if TYPE_CHECKING:
    from skipfill.store.storage.object_store import ObjectStore

BUNDLE: Final = "bundle"


def export(
    name: ModelName,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write, which must not exist; or folder, which must be empty or an unchanged export. "
            "Default: MODEL.skipfill, or MODEL-FORMAT.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="bundle: one file for another store. onnx, sentence-transformers or safetensors: a folder that "
            "encodes queries without skipfill.",
            autocompletion=completion.one_of(BUNDLE, "onnx", "safetensors", "sentence-transformers"),
        ),
    ] = BUNDLE,
    onto: Annotated[
        str,
        typer.Option(
            metavar="SPACE",
            help="Space of the gallery that is searched with the exported model. Default: that of the gallery that it "
            "was trained for, or its own.",
            autocompletion=completion.spaces,
        ),
    ] = "",
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a model to one file for another store, or to a folder that other programs run.

    A bundle also holds the spaces that the model can search. The same model gives the same bytes every time. The other
    formats make the vector that searches a gallery: encoder, view and normalisation in one. Before the command ends,
    it verifies that the folder encodes the model's witness items as skipfill does, to 1e-5.

    Example: skipfill model export v2 --format onnx -o v2-onnx
    """
    objects = opened(store)
    if format == BUNDLE:
        _bundle(objects, name, output or Path(f"{name}.skipfill"), onto, as_json=json, quiet=quiet)
    else:
        _folder(objects, name, output or Path(f"{name}-{format}"), format, onto, as_json=json, quiet=quiet)


def _bundle(objects: ObjectStore, name: str, output: Path, onto: str, *, as_json: bool, quiet: bool) -> None:
    from skipfill.cli.documents.models import ExportedModelDocument
    from skipfill.store.errors import BadInput, Parameter
    from skipfill.store.models.transfer import export_bundle

    if onto:
        raise BadInput(
            Parameter("onto", onto),
            expected="a format for one space",
            found="a bundle, which has all the model's views",
            hint="Leave it out, or add: --format onnx",
        )
    card = export_bundle(objects, name, output).card
    size = output.stat().st_size
    emit(
        ExportedModelDocument(name, BUNDLE, card.fingerprint, str(output), size),
        as_json=as_json,
        show=lambda out: out.print(f"Exported {name} ({card.fingerprint[:16]}, {size / 1e6:,.1f} MB) to {output}"),
    )
    show_next(f"Next: skipfill model add --store OTHER {quoted(output)}", quiet=quiet)


def _folder(
    objects: ObjectStore, name: str, output: Path, format: str, onto: str, *, as_json: bool, quiet: bool
) -> None:
    from skipfill.cli.documents.running_models import ExportedFolderDocument
    from skipfill.compat.export.export import export_model
    from skipfill.compat.export.registry import FORMATS
    from skipfill.compat.progress import Progress
    from skipfill.store.errors import unknown_name

    if format not in FORMATS:
        raise unknown_name("format", format, [BUNDLE, *FORMATS])
    warnings: list[str] = []
    with progress(quiet=quiet) as bar:
        done = export_model(objects, name, output, format, onto, warnings, Progress(bar.start, bar.advance))
    largest, items = done.verified.largest_difference, done.verified.items
    emit(
        ExportedFolderDocument(
            model=name,
            format=format,
            fingerprint=done.contract["fingerprint"],
            space=done.space,
            dim=done.dim,
            output=str(output),
            bytes=done.bytes,
            inputs=done.contract["inputs"],
            verified=done.verified,
            check=done.check,
            warnings=warnings,
        ),
        as_json=as_json,
        show=lambda out: out.print(
            f"Exported {name} onto space {done.space} (dim {done.dim}, {done.bytes / 1e6:,.1f} MB) to {output}",
            f"Its vectors of {items} witness items match those of skipfill, to {largest:.0e}.",
            sep="\n",
        ),
    )
    for warning in warnings:
        show_next(f"Note: {warning}", quiet=quiet)
    show_next("Next: skipfill guide exports", quiet=quiet)
