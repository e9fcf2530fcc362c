"""The transformers library, imported when first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from skipfill.store.errors import Advice, BadInput, reason


def transformers() -> Any:
    """The transformers library. It is imported when first needed, because that takes seconds.

    Raises:
        BadInput: it is not installed.
    """
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise BadInput(
            "encoder hf",
            expected="the transformers library",
            found=f"none that can be imported ({reason(error)})",
            hint=Advice("install", extra="hf"),
        ) from error
    library.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library
