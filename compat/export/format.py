"""The base of all export formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from skipfill.compat.export.pipeline import QueryPipeline
from skipfill.store.errors import Advice, BadInput, reason
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix

CONFIG = "config.json"
Encode = Callable[[ItemBlock], Matrix]
"""(N, d) vectors of a block of items, by what was exported."""


class Format:
    """A kind of folder that a pipeline is exported as.

    Class attributes:
        summary: one line on what it is and who reads it.
        library: the Hugging Face library that reads it.
        takes_no_tokens: whether it encodes a text of which the tokenizer makes no token at all.
    """

    summary: ClassVar[str]
    library: ClassVar[str]
    takes_no_tokens: ClassVar[bool] = True

    def write(self, pipeline: QueryPipeline, folder: Path, example: ItemBlock) -> None:
        """Write the pipeline into an empty folder.

        Args:
            example: a few items that it encodes.

        Raises:
            BadInput: a part of the model cannot be expressed in this format, or a library is missing. The error says
                which.
        """
        raise NotImplementedError

    def loaded(self, pipeline: QueryPipeline, folder: Path) -> Encode:
        """Read the folder by a program that is not skipfill's own network.

        Args:
            pipeline: decodes images; everything else comes from the folder.
        """
        raise NotImplementedError

    def usage(self, pipeline: QueryPipeline) -> str:
        """A few lines of Python that encode queries with the folder, for its README."""
        raise NotImplementedError


def library(name: str, what: str, extra: str) -> Any:
    """A library that a format needs, imported when first needed.

    Raises:
        BadInput: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise BadInput(
            f"format {what}",
            expected=f"the library {name}",
            found=f"none that can be imported ({reason(error)})",
            hint=Advice("install", extra=extra),
        ) from error


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, with letters outside ASCII as they are."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_contract(folder: Path, pipeline: QueryPipeline, **more: Any) -> None:
    """Write the contract of a pipeline with its caller, and the files that the caller needs."""
    write_json(folder / CONFIG, {**pipeline.contract(), **more})
    for name, data in pipeline.files().items():
        (folder / name).write_bytes(data)
