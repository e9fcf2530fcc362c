"""Columns that can be encoded: images, vectors of features or texts, and their values as an encoder takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from skipfill.store.errors import BadInput
from skipfill.store.parquet.ids import refuse_bad_strings
from skipfill.store.parquet.vectors import Matrix, is_vector_type, matrix

InputKind = Literal["image", "vector", "text"]
INPUT_COLUMNS = ("image", "vector", "text")
"""Names of columns that are looked for, in this order, when none is given."""


def input_kind(column: pa.DataType) -> InputKind | None:
    """Kind of the inputs that a column of this type holds; None where they cannot be encoded."""
    if pa.types.is_struct(column) and column.get_field_index("bytes") >= 0:
        return "image" if _is_bytes(column.field("bytes").type) else None
    if _is_bytes(column):
        return "image"
    if is_vector_type(column):
        return "vector"
    return "text" if _is_text(column) else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def inputs_of(kind: InputKind, column: pa.Array, where: str, folder: Path | None) -> list[Any] | Matrix:
    """Return a column of inputs as an encoder takes them: N bytes of images, N texts, or an (N, F) float32 matrix.

    Args:
        where: file and column, for messages.
        folder: the folder of images that the column only names; None where it must hold their bytes.

    Raises:
        BadInput: an input is missing, or not of the expected form.
    """
    if kind == "image":
        return _images(column, where, folder)
    return _texts(column, where) if kind == "text" else matrix(column, where, allow_zero=True)


def _images(column: pa.Array, where: str, folder: Path | None) -> list[bytes]:
    if not pa.types.is_struct(column.type):
        column = pa.StructArray.from_arrays([column], ["bytes"])
    contents = pc.struct_field(column, "bytes").to_pylist()
    if folder is not None and None in contents and column.type.get_field_index("path") >= 0:
        names = pc.struct_field(column, "path")
        refuse_bad_strings(names, where)
        for row, name in enumerate(names.to_pylist()):
            if contents[row] is None and name and _is_in(folder, name):
                contents[row] = (folder / name).read_bytes()
    if None in contents:
        raise BadInput(
            f"{where} + {contents.index(None)}",
            expected="an image's bytes, or a path that exists beside the Parquet file",
            found="NULL",
        )
    return list(contents)


def _texts(column: pa.Array, where: str) -> list[str]:
    refuse_bad_strings(column, where)
    texts: list[Any] = column.to_pylist()
    if None in texts:
        raise BadInput(f"{where} + {texts.index(None)}", expected="a text", found="NULL")
    return texts


def _is_in(folder: Path, name: object) -> bool:
    """Tell whether a file of this name is in the folder. A Parquet file from elsewhere may name no other file."""
    try:
        path = (folder / str(name)).resolve()
        return path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError):
        return False
