"""The output of a training: a moving bar, a line in a log for each epoch, and a summary at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from skipfill.cli.terminal.gallery_coverage import coverage_teller, notes_of
from skipfill.cli.terminal.map_summary import map_summary
from skipfill.cli.terminal.new_space import note_absent_encoder
from skipfill.cli.terminal.next_command import column_options
from skipfill.cli.terminal.printing import emit, show_next
from skipfill.cli.terminal.progress import Bar, Lines

if TYPE_CHECKING:
    from skipfill.compat.training.loop.epoch_log import Epoch
    from skipfill.compat.training.loop.schedule import Step, Watcher
    from skipfill.store.models.cards import Card
    from skipfill.store.parquet.items import ItemColumns
    from skipfill.store.storage.object_store import ObjectStore


def show_trained(
    objects: ObjectStore,
    card: Card,
    seconds: float,
    columns: ItemColumns,
    *,
    log_on_stdout: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the summary or the document of a training, and the next command.

    Args:
        seconds: that the training took.
        columns: of its items; those of the next command are likely to have the same.
        log_on_stdout: whether stdout has the log; the summary then goes to stderr.
    """
    from skipfill.cli.documents.models import TrainedModelDocument
    from skipfill.store.models.cards import is_map

    seconds = round(seconds, 1)
    summary = map_summary(card, seconds) if is_map(card) else [_summary(card, seconds)]
    if log_on_stdout:
        for line in summary:
            show_next(line, quiet=quiet)
    else:
        emit(
            TrainedModelDocument(card, card.fingerprint, seconds, notes_of(objects, card)),
            as_json=as_json,
            show=lambda out: out.print(*summary, sep="\n"),
        )
    gallery = card.gallery
    if is_map(card):
        following = f"advise {gallery['name']} --candidate {card.name} --items QUERIES.parquet"
    elif gallery and gallery["space"] in card.views:
        following = f"check {gallery['name']} {card.name} --items HELDOUT.parquet"
    else:
        following = f"encode {card.name} ITEMS.parquet -o GALLERY.parquet"
    following = f"skipfill {following}{column_options(columns)}"
    show_next(f"Next: {following}", quiet=quiet)
    if gallery and gallery["space"] in card.views:
        note_absent_encoder(objects, gallery["name"], gallery["space"], following, quiet=quiet)


def _summary(card: Card, seconds: float) -> str:
    """One sentence about a finished training."""
    training, gallery = card.training, card.gallery
    losses = ", ".join(f"{term} {value:.3f}" for term, value in card.losses.items())
    kept = f", epoch {training['best_epoch']} of {training['epochs']} kept" if training["held_out"] else ""
    against = f", against {gallery['rows']:,} rows by {gallery['space']} in {gallery['name']}" if gallery else ""
    return (
        f"Trained {card.name}: {card.method}, dim {card.dim}, {card.trained_items:,} items of "
        f"{len(card.trained_labels):,} classes{against}, {_epochs(card)}, {_threads(card)}, {seconds:.0f} s{kept} "
        f"({losses})"
    )


def _epochs(card: Card) -> str:
    """The epochs of a training in words: `20 epochs and 6 more with the encoder frozen`."""
    asked, total = int(card.recipe["epochs"]), int(card.training["epochs"])
    if card.recipe["patience"]:  # the training may have ended earlier than asked
        asked = total
    more = f" and {total - asked:,} more with the encoder frozen" if total > asked else ""
    return f"{asked:,} epoch{'' if asked == 1 else 's'}{more}"


def _threads(card: Card) -> str:
    threads = int(card.training["threads"])
    return f"{threads} thread{'' if threads == 1 else 's'}"


def watcher_of(
    objects: ObjectStore,
    name: str,
    gallery: str,
    bar: Bar | Lines,
    write_epoch: Callable[[Epoch], None],
    *,
    quiet: bool,
) -> Watcher:
    """A watcher that shows the progress of a training on the terminal."""
    from skipfill.compat.training.loop.schedule import Watcher

    return Watcher(
        step=_step_shower(name, bar),
        epoch=write_epoch,
        joined=coverage_teller(objects, gallery, name, quiet=quiet),
        resumed=_resumption_teller(name, quiet=quiet),
    )


def _resumption_teller(name: str, *, quiet: bool) -> Callable[[int, int], None]:
    """A function that says that an unfinished training is resumed; it takes the epochs done, and all epochs."""

    def tell(done: int, total: int) -> None:
        show_next(f"Resuming the unfinished training of {name}: {done} of {total} epochs are done", quiet=quiet)

    return tell


@contextmanager
def log_file(name: str, inputs: Sequence[Path], store: object) -> Iterator[Callable[[Epoch], None]]:
    """A function that appends an epoch's line to a file at once. `-` is stdout; an empty name writes nothing.

    Args:
        inputs: files that the command reads. Neither they nor the files of the `store` are written to.
    """
    from skipfill.cli.reports.files import refuse_overwriting
    from skipfill.store.errors import BadInput, reason

    if name in ("", "-"):
        yield (lambda epoch: print(epoch.line, flush=True)) if name else (lambda epoch: None)
        return

    @contextmanager
    def blamed() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BadInput(name, expected="a file that can be written to", found=reason(error)) from error

    refuse_overwriting(Path(name), inputs, store)
    with ExitStack() as stack:
        with blamed():
            # Without a buffer, a line is there when it is written, and none is left to fail when the file is closed.
            file = stack.enter_context(Path(name).open("ab", buffering=0))

        def write(epoch: Epoch) -> None:
            with blamed():
                file.write(f"{epoch.line}\n".encode())

        yield write


def _step_shower(name: str, bar: Bar | Lines) -> Callable[[Step], None]:
    """A function that moves the bar after each step of a training, and shows new losses beside it."""
    shown: dict[str, float] = {}

    def show(step: Step) -> None:
        nonlocal shown
        if step.losses is not shown:  # losses are read every few steps
            shown = step.losses
            # Five letters a term, so that all of them fit beside the bar in 80 columns.
            losses = " ".join(f"{term[:5]} {value:.2f}" for term, value in shown.items())
            bar.note(f"{name} epoch {step.epoch}", losses)
        bar.advance(step.items)

    return show
