"""skipfill demo: an upgrade on real images, by the commands that a user would type."""

from __future__ import annotations

import io
import json as json_format
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skipfill.cli.options import Json, Quiet
from skipfill.cli.runner import run_command
from skipfill.cli.terminal.printing import emit, printer

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report

METHODS = ("oca", "bt2", "simplex", "blend", "gallery")  # the last that passes is swapped to: it encodes a query once
GALLERY, SIMPLEX_GALLERY = "characters", "characters-simplex"
STORE = Path(".skipfill")
WITHOUT_QUIET = ("history",)  # commands that have no such option
Document = dict[str, Any]


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to work in, which is made if needed.")] = Path(
        "skipfill-demo"
    ),
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of the random numbers: alphabets, weights and order.")
    ] = 0,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Passes over the items in each training.")] = 20,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Watch a whole upgrade of a gallery of 12,000 real drawings.

    Train, check, swap, search, roll back. The old model knows some alphabets, the new ones know more, and the gallery
    also holds alphabets that no model was trained on. After an interruption, the same command goes on.

    Example: skipfill demo
    """
    from skipfill.cli.demo_data.split import write_demo_files
    from skipfill.store.errors import BadInput, reason

    began = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            folder, expected="a folder to work in", found=reason(error), hint="Choose another with --folder FOLDER."
        ) from error
    story = _Story(context.find_root().command, seed, epochs, quiet=quiet or json)
    with _only_the_store_of(folder):
        story.refuse_another(folder)
        write_demo_files(Path(), seed)
        story.say(f"In {folder}/: an old model, v1, and the gallery that it filled")
        document = _tell(story)
    seconds = round(time.monotonic() - began)
    emit(
        {**document, "seconds": seconds},
        as_json=json,
        show=lambda out: out.print(
            "", f"Done in {seconds} s. To go on from here: cd {folder} && skipfill status", sep="\n"
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


def _tell(story: _Story) -> Document:
    story.do("init", unless=STORE / "store.json")
    _old_and_gallery(story, "v1", "independent", GALLERY, "gallery.parquet")
    story.say("A better model is to come: what would a full reindex give?")
    story.train("ceiling", "independent", f"--gallery {GALLERY}")
    story.say("New models, trained to search the stored gallery as it is")
    _old_and_gallery(story, "v1-simplex", "simplex", SIMPLEX_GALLERY, "gallery-simplex.parquet")
    story.train("v2-oca", "oca", f"--gallery {GALLERY}")
    story.train("v2-bt2", "bt2", f"--gallery {GALLERY} --teacher ceiling")
    story.train("v2-simplex", "simplex", f"--gallery {SIMPLEX_GALLERY}")
    story.train("v2-gallery", "gallery", f"--gallery {GALLERY}")
    story.say("The old encoder still runs here: keep it for what the new one knows nothing of")
    story.do("blend v2-blend --new v2-gallery --old v1", unless=STORE / "models" / "v2-blend" / "card.json")
    story.say("Are they safe? Each is measured on the stored gallery, on drawings that no model has seen")
    checks = {method: story.check(method) for method in METHODS}
    story.compare(checks)
    passed = [method for method in reversed(METHODS) if checks[method]["verdict"] == "pass"]
    ending = _swap_and_back(story, passed[0]) if passed else {"swapped": ""}
    if not passed:
        story.say("No model passed its check: nothing is swapped, queries still use v1")
    return {"checks": {method: document["check"] for method, document in checks.items()}, **ending}


def _old_and_gallery(story: _Story, model: str, method: str, gallery: str, file: str) -> None:
    story.train(model, method, "", items="old_items")
    story.do(f"encode {model} gallery_items.parquet -o {file}", unless=Path(file))
    story.do(f"gallery add {gallery} {file} --space {model}", unless=STORE / "galleries" / gallery / "versions")


def _swap_and_back(story: _Story, method: str) -> Document:
    from skipfill.store.galleries.log import latest
    from skipfill.store.storage.location import open_store

    gallery = SIMPLEX_GALLERY if method == "simplex" else GALLERY
    if latest(open_store(STORE), gallery).undo:
        story.say("An earlier run ended before its rollback")
        story.do(f"rollback {gallery}")
    story.say(f"{method} passed: swap to it, search with it, and see how it is undone")
    story.do(f"swap {gallery} v2-{method}")
    story.do(f"search {gallery} --items {story.three_queries()} -k 3")
    story.do(f"rollback {gallery}")
    story.do(f"history {gallery}")
    return {"swapped": f"v2-{method}"}


class _Story:
    """Runs commands in this process, showing each as it would be typed; skips what an earlier run has done."""

    def __init__(self, root: Callable[..., object], seed: int, epochs: int, *, quiet: bool) -> None:
        self._root = root
        self._seed = seed
        self._epochs = epochs
        self._quiet = quiet
        self._out = printer(quiet=quiet)

    def refuse_another(self, folder: Path) -> None:
        """Go on only with a run of the same seed and epochs: its models would be taken for this run's."""
        from skipfill.store.errors import BadInput
        from skipfill.store.strict_json import parsed

        note, options = Path("demo.json"), {"seed": self._seed, "epochs": self._epochs}
        if not note.exists() and not any(Path().iterdir()):
            note.write_text(json_format.dumps(options))
        options_before = parsed(note.read_bytes(), note) if note.exists() else "other files"
        if options_before != options:
            raise BadInput(
                folder,
                expected=f"an empty folder, or a demo of {options}",
                found=str(options_before),
                hint="Choose another with --folder FOLDER.",
            )

    def say(self, text: str) -> None:
        self._out.print()
        self._out.print(text, style="bold")

    def train(self, model: str, method: str, options: str, items: str = "items") -> None:
        self.do(
            f"train {model} --method {method} --items {items}.parquet {options} "
            f"--seed {self._seed} --epochs {self._epochs}",
            unless=STORE / "models" / model / "card.json",
        )

    def do(self, command: str, unless: Path | None = None) -> None:
        """Run one command, its output shown, unless the path that it makes is there."""
        self._out.print(f"$ skipfill {' '.join(command.split())}", style="dim")
        if unless is not None and unless.exists():
            self._out.print("done by an earlier run")
            return
        with redirect_stdout(io.StringIO()) as printed:
            code = self._run(command)
        for line in printed.getvalue().rstrip().splitlines():
            self._out.print(line)
        if code:
            raise typer.Exit(code)

    def check(self, method: str) -> Document:
        """One method's check, measured against the ceiling; its JSON document, that of an earlier run if it holds."""
        gallery = SIMPLEX_GALLERY if method == "simplex" else GALLERY
        command = (
            f"check {gallery} v2-{method} --items heldout.parquet "
            "--gallery-items gallery_items.parquet --ceiling ceiling"
        )
        self._out.print(f"$ skipfill {command}", style="dim")
        mine = Path(f"check-{method}.txt")  # a user's own check may have other queries and another policy
        report = _check_that_holds(gallery, f"v2-{method}")
        if report and mine.exists() and report.id == mine.read_text():
            self._out.print("done by an earlier run")
            return {"check": asdict(report), "verdict": report.verdict}
        with redirect_stdout(io.StringIO()) as printed:
            code = self._run(command + " --json")
        document: Document = json_format.loads(printed.getvalue())
        if "check" not in document:
            raise typer.Exit(code)
        mine.write_text(document["check"]["id"])
        return document

    def three_queries(self) -> Path:
        """A file with three of the held-out drawings."""
        import pyarrow.parquet as pq

        path = Path("queries.parquet")
        pq.write_table(pq.read_table("heldout.parquet").slice(0, 3), path)
        return path

    def compare(self, checks: dict[str, Document]) -> None:
        """Show every method on the characters that it was trained on, and on those that no model was trained on."""
        from skipfill.cli.reports.comparison import comparison

        for title, shown in comparison({method: document["check"] for method, document in checks.items()}):
            self._out.print()
            self._out.print(title, style="bold")
            self._out.print(shown)

    def _run(self, command: str) -> int:
        quiet = [] if command.startswith(WITHOUT_QUIET) else ["--quiet"]
        return run_command(self._root, [*shlex.split(command), *quiet])


def _check_that_holds(gallery: str, model: str) -> Report | None:
    """The newest check of the model on the gallery as it is now."""
    from skipfill.store.checks.index import CheckIndex
    from skipfill.store.checks.saved_reports import load_report
    from skipfill.store.galleries.log import latest
    from skipfill.store.models.cards import load_card
    from skipfill.store.storage.location import open_store

    objects = open_store(STORE)
    now, fingerprint = latest(objects, gallery), load_card(objects, model).fingerprint
    of_rows = CheckIndex(objects, gallery).of(now.rows_state, fingerprint)
    checks = [check for check in of_rows if check.state == now.state]
    return load_report(objects, gallery, checks[-1].check) if checks else None
