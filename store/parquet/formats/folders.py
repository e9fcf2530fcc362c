"""Folders of data sets, as others keep them: Hugging Face's `datasets`, and BEIR's or MTEB's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skipfill.store.errors import BadInput, reason
from skipfill.store.parquet.files import expand

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
SPLIT = "test"
"""The part of a BEIR data set that its judgements are taken from."""
STATE, SPLITS = "state.json", "dataset_dict.json"
"""Files that `save_to_disk` of Hugging Face's `datasets` writes: into a data set, and into a folder of several."""
INDICES = "indices into other files, as `select`, `filter` and `shuffle` leave them"
FLATTEN = "Save it again with datasets: data.flatten_indices().save_to_disk(FOLDER)"


def item_files(paths: Sequence[Path]) -> list[Path]:
    """The files that hold the items of files and folders.

    A folder of `datasets` stands for its files, a folder of BEIR for its queries, and any other folder for every
    `*.parquet` below it.

    Raises:
        BadInput: a path that does not exist, a folder without such files, or a file twice.
    """
    return expand([file for path in paths for file in _files_of(path)])


def _files_of(path: Path) -> list[Path]:
    if (path / STATE).is_file():
        return _files_of_datasets(path)
    if (path / SPLITS).is_file():
        splits = sorted(below.parent.name for below in path.glob(f"*/{STATE}"))
        raise BadInput(
            path,
            expected="one data set",
            found=f"a folder of {len(splits)}: {', '.join(splits)}",
            hint=f"Name one of them: {path / splits[0]}" if splits else "",
        )
    return [path / QUERIES] if is_beir(path) else [path]


def _files_of_datasets(folder: Path) -> list[Path]:
    """The files of a data set of Hugging Face, in the order of its rows."""
    where = folder / STATE
    try:
        state: Any = json.loads(where.read_bytes())
        names = [str(one["filename"]) for one in state["_data_files"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInput(where, expected="the list of a data set's files", found=reason(error)) from error
    if state.get("_indices_data_files"):
        raise BadInput(where, expected="rows stored in their order", found=INDICES, hint=FLATTEN)
    for name in names:
        if Path(name).name != name:
            raise BadInput(where, expected="names of files in this folder", found=repr(name[:200]))
    if not names:
        raise BadInput(where, expected="the name of a file at least", found="none")
    return [folder / name for name in names]


def is_beir(path: Path) -> bool:
    """Whether this is a folder as BEIR and MTEB lay out a data set."""
    return (path / QUERIES).is_file() and (path / CORPUS).is_file()


def corpus_of(path: Path) -> Path:
    """The documents of a BEIR folder; any other path as it is."""
    return path / CORPUS if is_beir(path) else path


def judgements_of(path: Path) -> Path:
    """The judgements of a BEIR folder: those named `test`, or the only ones; any other path as it is.

    Raises:
        BadInput: the folder has none, or several and none named so.
    """
    if not path.is_dir():
        return path
    files = sorted(one for one in (path / QRELS).glob("*.*") if one.is_file())
    test = [one for one in files if one.stem == SPLIT] or files
    if len(test) != 1:
        raise BadInput(
            path,
            expected=f"a file {QRELS}/{SPLIT}.tsv, or only one file in {QRELS}/",
            found=", ".join(one.name for one in test) or "none",
            hint=f"Name the file: {test[0]}" if test else "",
        )
    return test[0]
