"""skipfill model list | show | plot | add | drop; `export.py` has the other"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skipfill.cli.commands.export import export
from skipfill.cli.commands.overview import searchable
from skipfill.cli.options import DryRun, Json, ModelName, Quiet, Store, opened, refuse_unconfirmed
from skipfill.cli.terminal.help_page import HelpGroup
from skipfill.cli.terminal.new_space import note_absent_encoder
from skipfill.cli.terminal.printing import emit, facts, printer, show_next, table, view_words

if TYPE_CHECKING:
    from skipfill.store.models.transfer import Manifest

WRAPPED = ("model", "method", "views onto")
app = typer.Typer(help="Look at the models, and take them elsewhere.", no_args_is_help=True, cls=HelpGroup)
app.command()(export)


@app.command("list")
def list_models(store: Store = None, json: Json = False) -> None:
    """List the models: method, dimension, classes, and the spaces they can search.

    Example: skipfill model list
    """
    from skipfill.cli.documents.models import ModelListDocument
    from skipfill.store.models.cards import load_card, model_names

    objects = opened(store)
    cards = [load_card(objects, name) for name in model_names(objects)]
    rows = [(card.name, card.method, card.dim, len(card.trained_labels), ", ".join(card.views)) for card in cards]
    emit(
        ModelListDocument(cards),
        as_json=json,
        show=lambda out: out.print(
            table(["model", "method", "dim", "classes", "views onto"], rows, numbers=["dim", "classes"], wrap=WRAPPED)
        ),
    )


@app.command()
def show(name: ModelName, store: Store = None, json: Json = False) -> None:
    """Show how a model was trained, and on what.

    Example: skipfill model show v2
    """
    from skipfill.cli.documents.models import ModelDocument
    from skipfill.store.models.cards import load_card

    card = load_card(opened(store), name)
    against = f"{card.gallery.get('name')} version {card.gallery.get('version')}" if card.gallery else "-"
    rows = [
        ("method", card.method),
        ("encoder", f"{card.encoder.get('kind')}: {_listed(card.encoder.get('settings') or {})}"),
        ("dim", card.dim),
        ("views onto", ", ".join(f"{space} ({view_words(view)})" for space, view in card.views.items())),
        ("class slots", f"{len(card.slots):,} of {card.dim + 1:,} vertices" if card.slots else "-"),
        ("trained on", f"{card.trained_items:,} items of {len(card.trained_labels):,} classes"),
        ("against gallery", against),
        ("training", _listed(card.training) or "-"),
        ("recipe", _listed(card.recipe)),
        ("last losses", ", ".join(f"{name} {value:.3f}" for name, value in card.losses.items())),
        ("created", card.created),
        ("fingerprint", card.fingerprint[:16]),
    ]
    emit(
        ModelDocument(card, card.fingerprint),
        as_json=json,
        show=lambda out: out.print(Text(f"Model {card.name}", "bold"), facts(rows), sep="\n"),
    )


def _listed(values: Mapping[str, object], within: str | None = None) -> str:
    """Named values, those of inner mappings by a name such as `mlp.hidden`."""
    told = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            told.append(_listed(value, "" if within is None else f"{name}."))
        elif value != []:
            told.append(f"{within or ''}{name}={value}")
    return ", ".join(filter(None, told))


@app.command()
def plot(
    name: ModelName,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Picture to write: .svg, .png or .pdf.")
    ],
    store: Store = None,
) -> None:
    """Draw a model's losses by epoch.

    Example: skipfill model plot v2 -o loss.svg
    """
    from skipfill.cli.reports.loss_plot import draw_losses
    from skipfill.compat.training.loop.epoch_log import Epoch
    from skipfill.store.errors import BadInput
    from skipfill.store.models.cards import LOG, load_card
    from skipfill.store.models.files import read_file
    from skipfill.store.strict_json import fitted, parsed

    objects = opened(store)
    card = load_card(objects, name)
    best, where = card.training.get("best_epoch"), f"{LOG} of model {name}"
    if not card.training.get("epochs") or not isinstance(best, int):
        raise BadInput(f"model {name}", expected="a model with the log of its training", found="none in its bundle")
    lines = read_file(objects, card, LOG).splitlines()
    epochs = [asdict(fitted(Epoch, parsed(line, where), where, {})) for line in lines]
    if not epochs or not all(one["losses"] for one in epochs):
        raise BadInput(where, expected="losses in every epoch", found="none, or no epoch")
    draw_losses(name, epochs, best, output)
    printer().print(str(output))


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that `skipfill model export` wrote.")],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the model in this store. Default: the name it has.")
    ] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a model from another store, after its hashes and its encodings are verified.

    A separate process with limits on time and memory tries the model before anything is written.

    Example: skipfill model add v2.skipfill
    """
    from skipfill.cli.documents.models import AddedModelDocument
    from skipfill.compat.inference.trial import try_bundle
    from skipfill.store.galleries.log import galleries_of
    from skipfill.store.models.transfer import add_bundle

    objects = opened(store)
    added = add_bundle(objects, file, name, trial=try_bundle, dry_run=dry_run)
    card, notes = added.manifest.card, _notes(added.manifest)
    done = ("Would add" if dry_run else "Added") if added.new else "Already there:"
    emit(
        AddedModelDocument(card, card.fingerprint, added.new, notes, dry_run),
        as_json=json,
        show=lambda out: out.print(f"{done} {card.name} ({card.fingerprint[:16]}), views onto {', '.join(card.views)}"),
    )
    for note in notes:
        show_next(f"Note: {note}", quiet=quiet)
    if not dry_run:
        gallery = searchable(objects, card)
        following = f"skipfill check {gallery} {card.name} --items HELDOUT.parquet"
        show_next(f"Next: {following}", quiet=quiet)
        for space in card.views:
            if gallery in galleries_of(objects, space):
                note_absent_encoder(objects, gallery, space, following, quiet=quiet)


@app.command()
def drop(
    name: ModelName,
    confirm: Annotated[
        str, typer.Option(metavar="NAME", help="The name again, to confirm. Default: none; then nothing is dropped.")
    ] = "",
    dry_run: DryRun = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Delete a model that no gallery uses, to free disk space.

    Refused while a gallery's queries use it, or while a gallery's vectors are in its space. Its checks, and the
    versions that released it, stay in the history. A rollback to these versions then needs a reason, and searches need
    vectors from elsewhere, unless the same model is in the store under another name.

    Example: skipfill model drop v2 --confirm v2
    """
    from skipfill.cli.documents.models import DroppedModelDocument
    from skipfill.store.maintenance.drop_model import drop_model

    refuse_unconfirmed(name, confirm)
    dropped = drop_model(opened(store), name, dry_run=dry_run)
    lost = "".join(
        f". Gallery {gallery} cannot be rolled back to {'version' if len(versions) == 1 else 'versions'} "
        f"{', '.join(map(str, versions))} without a reason, and searches then need vectors from elsewhere"
        for gallery, versions in dropped.no_way_back.items()
    )
    lost += f". The same model stays in the store as {dropped.same_as}" if dropped.same_as else ""
    done = "Would drop" if dry_run else "Dropped"
    emit(
        DroppedModelDocument(**asdict(dropped), dry_run=dry_run),
        as_json=json,
        show=lambda out: out.print(f"{done} model {name} ({dropped.bytes:,} bytes){lost}"),
    )


def _notes(manifest: Manifest) -> list[str]:
    """Notes on what a hash cannot verify."""
    unknown = [space.name for space in manifest.spaces if not space.fingerprint]
    card = manifest.card
    notes = []
    if "python" in card.encoders:
        notes.append("it encodes with code that is not in the bundle; that code runs only when you name it with --code")
    if unknown:
        notes.append(
            f"space {', '.join(unknown)} is known only by its vectors; a check shows whether your encoder made them"
        )
    return notes
