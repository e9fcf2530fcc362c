"""skipfill demo: an upgrade on real images, by the commands that a user would type."""

from __future__ import annotations

import json as json_format
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipfill.cli.options import Json, Quiet
from skipfill.cli.terminal.printing import emit

if TYPE_CHECKING:
    from skipfill.cli.demo_data.story import Story
    from skipfill.store.checks.report import Report

GALLERY, SIMPLEX_GALLERY = "characters", "characters-simplex"
Document = dict[str, Any]


SHORT_EPOCHS, FULL_EPOCHS = 6, 20
METHODS = ("oca", "bt2", "simplex", "gallery")
FULL_METHODS = ("oca", "bt2", "simplex", "blend", "gallery")  # gallery encodes a query once, blend twice


@dataclass(frozen=True)
class Plan:
    """Everything that decides what the demo does. A later run resumes only one with the same plan.

    Attributes:
        seed: decides the alphabets, the weights and the order.
        epochs: of each training.
        full: whether blend is tried too, and each check measures an independent model's reindex.
    """

    seed: int
    epochs: int
    full: bool

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are checked; the last that passes is swapped to."""
        return FULL_METHODS if self.full else METHODS


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to work in, created if needed.")] = Path(
        "skipfill-demo"
    ),
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Train longer, try blend too, and measure a ceiling: takes about three times as long."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of the random numbers: alphabets, weights and order.")
    ] = 0,
    epochs: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Passes over the items in each training; 0 means 6, or 20 with --full."),
    ] = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Watch a whole upgrade on 12,000 real drawings, in about two minutes.

    Train, check, swap, search, roll back. The old model knows some alphabets, the new ones know more, and the gallery
    also holds alphabets that no model was trained on. After an interruption, repeat the command to resume.

    Example: skipfill demo
    """
    from skipfill.cli.demo_data.split import write_demo_files
    from skipfill.cli.demo_data.story import Story
    from skipfill.cli.documents.checks import DemoDocument
    from skipfill.compat.encoders.decoded import decoding_once
    from skipfill.store.checks.saved_reports import document_of
    from skipfill.store.errors import BadInput, reason

    began = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            folder, expected="a folder to work in", found=reason(error), hint="Choose another with --folder FOLDER."
        ) from error
    plan = Plan(seed, epochs or (FULL_EPOCHS if full else SHORT_EPOCHS), full)
    story = Story(context.find_root().command, quiet=quiet or json)
    with _only_the_store_of(folder), decoding_once():
        _refuse_another(folder, plan)
        write_demo_files(Path(), seed)
        story.say(f"In {folder}/: an old model, v1, and the gallery that it encoded")
        reports, swapped = _tell(story, plan)
        story.end(_ending(reports, swapped))
    checks = {method: document_of(report) for method, report in reports.items()}
    seconds = round(time.monotonic() - began)
    emit(
        DemoDocument(checks, swapped, seconds),
        as_json=json,
        show=lambda out: out.print(
            f"Done in {seconds} s. To continue from here: cd {folder} && skipfill status",
            "With longer trainings: skipfill demo --full --folder skipfill-demo-full",
            "With your own gallery: skipfill guide tutorial",
            sep="\n",
        ),
    )


@contextmanager
def _only_the_store_of(folder: Path) -> Iterator[None]:
    """Work in the folder, as after a `cd`, and not in the store that the environment names."""
    users_store = os.environ.pop("SKIPFILL_STORE", None)
    try:
        with chdir(folder):
            yield
    finally:
        if users_store is not None:
            os.environ["SKIPFILL_STORE"] = users_store


def _refuse_another(folder: Path, plan: Plan) -> None:
    """Refuse to resume a run of another plan: its models would be taken for this run's."""
    from skipfill.store.errors import BadInput
    from skipfill.store.strict_json import parsed

    note, planned = Path("demo.json"), asdict(plan)
    if not note.exists() and not any(Path().iterdir()):
        note.write_text(json_format.dumps(planned))
    before = parsed(note.read_bytes(), note) if note.exists() else "other files"
    if before != planned:
        raise BadInput(
            folder,
            expected=f"an empty folder, or a demo of {planned}",
            found=str(before),
            hint="Choose another with --folder FOLDER.",
        )


def _tell(story: Story, plan: Plan) -> tuple[dict[str, Report], str]:
    """The whole story: the report of each method's check, and the model that was swapped to, or nothing."""
    from skipfill.cli.demo_data.story import STORE

    def train(model: str, method: str, options: str, items: str = "items") -> None:
        story.do(
            f"train {model} --method {method} --items {items}.parquet {options} "
            f"--seed {plan.seed} --epochs {plan.epochs}",
            unless=STORE / "models" / model / "card.json",
        )

    def old_and_gallery(model: str, method: str, gallery: str, file: str) -> None:
        train(model, method, "", items="old_items")
        story.do(f"encode {model} gallery_items.parquet -o {file}", unless=Path(file))
        story.do(f"gallery add {gallery} {file} --space {model}", unless=STORE / "galleries" / gallery / "versions")

    story.do("init", unless=STORE / "store.json")
    old_and_gallery("v1", "independent", GALLERY, "gallery.parquet")
    story.say("A better, independent model. Its vectors cannot be compared with the stored ones; bt2 imitates it")
    train("ceiling", "independent", f"--gallery {GALLERY}")
    story.say("New models, trained to search the stored gallery as it is")
    old_and_gallery("v1-simplex", "simplex", SIMPLEX_GALLERY, "gallery-simplex.parquet")
    train("v2-oca", "oca", f"--gallery {GALLERY}")
    train("v2-bt2", "bt2", f"--gallery {GALLERY} --teacher ceiling")
    train("v2-simplex", "simplex", f"--gallery {SIMPLEX_GALLERY}")
    story.say("And one that has also seen a tenth of the gallery's drawings, without labels")
    train("v2-gallery", "gallery", f"--gallery {GALLERY} --align sample.parquet")
    if plan.full:
        story.say("The old encoder still runs here: keep it for queries that the new one does not know")
        story.do("blend v2-blend --new v2-gallery --old v1", unless=STORE / "models" / "v2-blend" / "card.json")
    story.say("Are they safe? Each is measured on the stored gallery, on drawings that no model has seen")
    options = "--items heldout.parquet --gallery-items gallery_items.parquet"
    options += " --ceiling ceiling" if plan.full else ""
    reports = {method: story.check(_gallery_of(method), f"v2-{method}", options) for method in plan.methods}
    passed = [method for method, report in reports.items() if report.verdict == "pass"]
    return reports, _swap_and_back(story, passed[-1]) if passed else ""


def _gallery_of(method: str) -> str:
    """The gallery that its model searches: models on a simplex need an old one on the same simplex."""
    return SIMPLEX_GALLERY if method == "simplex" else GALLERY


def _swap_and_back(story: Story, method: str) -> str:
    """Swap to a model, search with it, and roll back; its name."""
    from skipfill.cli.demo_data.story import STORE
    from skipfill.store.galleries.log import latest
    from skipfill.store.storage.location import open_store

    gallery, reason = _gallery_of(method), ""
    if latest(open_store(STORE), gallery).undo:
        story.say("An earlier run ended before its rollback")
        story.do(f"rollback {gallery}")
        reason = " --reason 'only the demo was interrupted'"  # the check was made before this rollback
    story.say(f"{method} passed: swap to it, search with it, and undo it")
    story.do(f"swap {gallery} v2-{method}{reason}")
    story.do(f"search {gallery} --items {_three_queries()} -k 3")
    story.do(f"rollback {gallery}")
    story.do(f"history {gallery}")
    return f"v2-{method}"


def _three_queries() -> Path:
    """A file with three of the held-out drawings."""
    import pyarrow.parquet as pq

    path = Path("queries.parquet")
    pq.write_table(pq.read_table("heldout.parquet").slice(0, 3), path)
    return path


def _ending(reports: dict[str, Report], swapped: str) -> Iterator[object]:
    """The last screen: every model in one table, why models did not pass, and what queries use now."""
    from rich.text import Text

    from skipfill.cli.reports.comparison import comparison, objections

    shown: Sequence[Report] = list(reports.values())
    metric = shown[0].policy["metric"]
    queries = next(one.queries for one in shown[0].slices if one.name == "all")
    yield Text(f"{metric} of {queries:,} held-out drawings: the first drawing found is the same character", "bold")
    yield comparison(shown)
    yield Text("old/old: today. new/old: new queries, stored gallery. new/new: a full reindex.", "dim")
    yield Text("gain: 0 as today, 1 as a full reindex. seen: characters the new model learned.", "dim")
    yield from objections(shown)
    yield ""
    if swapped:
        yield f"{swapped} passed. Queries were swapped to it and rolled back: they use v1 again"
    else:
        yield "No model passed its check: nothing was swapped, queries still use v1"
