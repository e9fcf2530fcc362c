"""The kinds of files that a bundle may hold. None of them can run code when it is read."""

from __future__ import annotations

from collections.abc import Callable

from safetensors import SafetensorError, deserialize

from skipfill.store.errors import BadInput, reason
from skipfill.store.models.files import refuse_claimed_rows


def refuse_content(name: str, data: bytes, where: str) -> None:
    """Raise `BadInput` unless `data` is what a file of this name must be.

    Args:
        where: for messages.
    """
    kind = name.rsplit(".", 1)[-1]
    if kind not in CONTENTS:
        raise BadInput(where, expected=f"files of the kinds {', '.join(CONTENTS)} only", found=repr(name))
    CONTENTS[kind](data, where)


def _weights(data: bytes, where: str) -> None:
    try:
        deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise BadInput(where, expected="weights as safetensors", found=reason(error)) from error


def _object(data: bytes, where: str) -> None:
    # Not parsed: a tokenizer has a hundred thousand entries, and its library reads it itself.
    if data.strip()[:1] not in (b"{", b""):
        raise BadInput(where, expected="JSON", found="something else")


CONTENTS: dict[str, Callable[[bytes, str], None]] = {
    "safetensors": _weights,
    "parquet": refuse_claimed_rows,
    "json": _object,
    "ndjson": _object,
}
