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
    """Remember the store that the command line names; one that the environment names needs no flag next time."""
    by_environment = given is not None and given == os.environ.get(VARIABLE)
    _store.set("" if given is None or by_environment else given)
    _source.set("" if given is None else VARIABLE if by_environment else "--store")


def remember(arguments: Sequence[str]) -> None:
    """Remember the arguments of this command."""
    _arguments.set(tuple(arguments))


def same_command(*, without_flag: str = "", without_option: str = "") -> str:
    """This command once more, without a flag or an option and its value. `with_store` adds the store."""
    words = [word for word in _arguments.get() if word != without_flag]
    return quoted("skipfill", *_without(words, [option for option in ("--store", without_option) if option]))


def with_given(command: str, given: str) -> str:
    """A command with the options of this one, which replace its own of the same names.

    Args:
        given: each with its value: ` --metric mAP`.
    """
    names = [word for word in shlex.split(given) if word.startswith("--")]
    return f"{quoted(*_without(shlex.split(command), names))}{given}"


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words of a command without these options and their values."""
    left: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in options:
            next(rest, None)
        elif word.partition("=")[0] not in options:
            left.append(word)
    return left


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
    files = [("gallery-items", path) for path in inputs.gallery_items]
    return f"{_options([*files, *named.items()])}{column_options(inputs.columns)}"


def check_options(inputs: CheckInputs, metric: str | None, slices: Sequence[str]) -> str:
    """The options of a check with its queries, so that it can be made again on these and more.

    Args:
        metric: as it was given; None for the policy's.
        slices: those of the policy, which need no option.
    """
    named: list[tuple[str, object]] = [
        *_of_truth(inputs),
        ("ceiling", inputs.ceiling),
        *(("slice", one) for one in inputs.slices.predicates if one not in slices),
        *(("slice-by", one) for one in inputs.slices.by),
        *(("instead-of", one) for one in inputs.instead_of),
        ("reason", inputs.reason),
        *_of_reranking(inputs),
    ]
    keep = " --keep" if inputs.keep else ""
    return f"{items_options(inputs.items)}{deciding_options(inputs, metric)}{_options(named)}{keep}".lstrip()


def check_again(report: Report, inputs: CheckInputs, truth: str) -> str:
    """The same check without its own requirements: with its files and columns, and its truth if the policy has none."""
    of_truth: list[tuple[str, object]] = []
    if truth in ("", inputs.truth):
        of_truth = [("judgements", inputs.judgements), *_of_truth(inputs)]
    options: list[tuple[str, object]] = [
        *(("items", one) for one in inputs.items),
        *(("gallery-items", one) for one in inputs.gallery_items),
        *of_truth,
        ("ceiling", inputs.ceiling),
        ("identity", inputs.identity),
        ("old-vector", inputs.old_vector),
        ("old-input", inputs.old_input),
        ("truth-vector", inputs.truth_vector),
        *_of_reranking(inputs),
    ]
    return f"skipfill check {report.gallery} {report.model}{_options(options)}{column_options(inputs.columns)}"


def _of_truth(inputs: CheckInputs) -> list[tuple[str, object]]:
    """The options for a truth other than labels and judgements, and for how many of its first rows count."""
    return [("truth", inputs.truth), ("depth", inputs.depth)] if inputs.truth in ("reindex", "neighbours") else []


def _of_reranking(inputs: CheckInputs) -> list[tuple[str, object]]:
    return [("rerank", ",".join(map(str, inputs.rerank))), ("candidates", inputs.candidates)]


def _options(given: Sequence[tuple[str, object]]) -> str:
    """Options that have a value, each after a space."""
    return "".join(f" --{option} {quoted(value)}" for option, value in given if value)


def items_options(files: Sequence[Path]) -> str:
    """The files of items as options."""
    return _options([("items", path) for path in files])


def quoted(*words: object) -> str:
    """Words of a command line, quoted where a shell needs that."""
    return shlex.join(map(str, words))


def install_command(extra: str, root: Path = Path(__file__).resolve().parents[2]) -> str:
    """The command that adds an extra to this copy of skipfill; to a checkout, in the versions that it was tested with.

    Args:
        root: folder that is the repository's, if this copy is a checkout.
    """
    constraints = root / ".ci" / "constraints.txt"
    if not constraints.exists():
        return f"pip install {shlex.quote(f'skipfill[{extra}]')}"
    return f"pip install -c {shlex.quote(str(constraints))} -e {shlex.quote(f'{root}[{extra}]')}"
