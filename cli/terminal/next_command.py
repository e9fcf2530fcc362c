"""The next command as it can be pasted: with the store that this one named."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skipfill.compat.gate.inputs import CheckInputs
    from skipfill.store.checks.report import Report
    from skipfill.store.parquet.items import ItemColumns

_store: ContextVar[str] = ContextVar("store", default="")
_source: ContextVar[str] = ContextVar("source", default="")
_arguments: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())
VARIABLE = "SKIPFILL_STORE"
FIRST_GALLERY = "Next: skipfill gallery add NAME FILES --space NAME_OF_THE_OLD_ENCODER"
WITH_STORE = (
    *(f"gallery {word}" for word in ("add", "append", "show", "list", "verify", "refresh", "drop")),
    *(f"model {word}" for word in ("list", "show", "plot", "export", "add", "drop")),
    *(f"overlay {word}" for word in ("add", "list", "show", "verify", "rollback", "drop")),
    *("init", "train", "blend", "encode", "check", "advise", "report", "matrix", "policy", "plan", "swap", "rollback"),
    *("history", "status", "search", "doctor", "prune"),
)
"""The commands that take a store."""
_COMMAND = re.compile(rf"\bskipfill ({'|'.join(WITH_STORE)})(?![\w`-])(?! --store)")  # in backticks: only spoken of


def name_store(given: str | None) -> None:
    """Remember the store that the command line names; one that the environment names, it names for the next, too."""
    by_environment = given is not None and given == os.environ.get(VARIABLE)
    _store.set("" if given is None or by_environment else given)
    _source.set("" if given is None else VARIABLE if by_environment else "--store")


def remember(arguments: Sequence[str]) -> None:
    """Remember the arguments of this command."""
    _arguments.set(tuple(arguments))


def same_command(without: str) -> str:
    """This command once more, without a flag, and without its store: `with_store` adds that."""
    words = [word for word in _arguments.get() if word != without and not word.startswith("--store=")]
    if "--store" in words:
        place = words.index("--store")
        del words[place : place + 2]
    return quoted("skipfill", *words)


def store_source() -> str:
    """The setting that named the store of this command: `--store` or SKIPFILL_STORE; empty where the folder decides."""
    return _source.get()


def from_source() -> str:
    """The setting that named the store, as the end of a phrase: `, from SKIPFILL_STORE`."""
    return f", from {_source.get()}" if _source.get() else ""


def with_store(text: str) -> str:
    """A text whose commands have the option --store, if this command has it."""
    store = _store.get()
    return _COMMAND.sub(lambda match: f"{match[0]} --store {shlex.quote(store)}", text) if store else text


def column_options(columns: ItemColumns) -> str:
    """The options that name columns, where they have not the usual names."""
    named = {"id": columns.id, "label": columns.label, "input": columns.input}
    usual = {"id": "id", "label": "label", "input": ""}
    return "".join(f" --{option} {quoted(name)}" for option, name in named.items() if name != usual[option])


def deciding_options(inputs: CheckInputs, metric: str | None) -> str:
    """The options of a command, without its items, that decide what it measures; the next one needs them too.

    Args:
        metric: as it was given; None for the policy's.
    """
    named = {
        "identity": inputs.identity,
        "judgements": inputs.judgements,
        "metric": metric,
        "old-vector": inputs.old_vector,
        "old-input": inputs.old_input,
        "truth-vector": inputs.truth_vector,
    }
    files = "".join(f" --gallery-items {quoted(path)}" for path in inputs.gallery_items)
    given = "".join(f" --{option} {quoted(value)}" for option, value in named.items() if value)
    return f"{files}{given}{column_options(inputs.columns)}"


def check_again(report: Report, inputs: CheckInputs, truth: str) -> str:
    """The same check without its own requirements: with its files and columns, and its truth if the policy has none."""
    of_truth: list[tuple[str, object]] = []
    if truth in ("", inputs.truth) and inputs.truth == "judgements":
        of_truth = [("judgements", inputs.judgements)]
    elif truth in ("", inputs.truth) and inputs.truth == "reindex":
        of_truth = [("truth", inputs.truth), ("depth", inputs.depth)]
    options: list[tuple[str, object]] = [
        *(("items", one) for one in inputs.items),
        *(("gallery-items", one) for one in inputs.gallery_items),
        *of_truth,
        ("ceiling", inputs.ceiling),
        ("identity", inputs.identity),
        ("old-vector", inputs.old_vector),
        ("old-input", inputs.old_input),
        ("truth-vector", inputs.truth_vector),
        ("rerank", ",".join(map(str, inputs.rerank))),
        ("candidates", inputs.candidates),
    ]
    words = [word for option, value in options if value for word in (f"--{option}", value)]
    return quoted("skipfill", "check", report.gallery, report.model, *words) + column_options(inputs.columns)


def items_options(files: Sequence[Path]) -> str:
    """The files of items as options."""
    return "".join(f" --items {quoted(path)}" for path in files)


def quoted(*words: object) -> str:
    """Words of a command line, quoted where a shell needs that."""
    return shlex.join(map(str, words))
