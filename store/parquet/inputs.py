"""Columns that can be encoded: images, vectors of features or texts, and their values as an encoder takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from skipfill.store.errors import Advice, BadInput, Parameter, reason, row_place
from skipfill.store.parquet.formats.folders import item_files
from skipfill.store.parquet.formats.recognise import open_rows
from skipfill.store.parquet.ids import refuse_bad_strings
from skipfill.store.parquet.stored_rows import OpenFile, opened
from skipfill.store.parquet.vectors import Matrix, is_vector_type, matrix
from skipfill.store.storage.address import found_at

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


def inputs_of(kind: InputKind, column: pa.Array, where: object, folder: Path | None) -> list[Any] | Matrix:
    """Return a column of inputs as an encoder takes them: N bytes of images, N texts, or an (N, F) float32 matrix.

    Args:
        where: file and column, or the place of the block, for messages.
        folder: the folder of images that the column only names; None where it must hold their bytes.

    Raises:
        BadInput: an input is missing, or not of the expected form.
    """
    if kind == "image":
        return _images(column, where, folder)
    return _texts(column, where) if kind == "text" else matrix(column, where, allow_zero=True)


def _images(column: pa.Array, where: object, folder: Path | None) -> list[bytes]:
    if not pa.types.is_struct(column.type):
        column = pa.StructArray.from_arrays([column], ["bytes"])
    contents = pc.struct_field(column, "bytes").to_pylist()
    if None not in contents:
        return list(contents)
    names: list[Any] = [None] * len(column)
    if column.type.get_field_index("path") >= 0:
        paths = pc.struct_field(column, "path")
        refuse_bad_strings(paths, where)
        names = paths.to_pylist()
    for row, name in enumerate(names):
        if contents[row] is None:
            contents[row] = _image_file(folder, name, row_place(where, row))
    return list(contents)


def _image_file(folder: Path | None, name: object, where: object) -> bytes:
    """Read an image that is only named. A Parquet file from elsewhere must not name a file outside its own folder."""
    wrong = "no bytes" if folder is None else "no bytes and no path"
    if folder is not None and isinstance(name, str) and name:
        shown = repr(name[:200])
        path = folder / name
        try:
            if not path.resolve().is_relative_to(folder.resolve()):
                wrong = f"{shown}, outside its folder"
            elif (found := found_at(path)) not in ("", "a file"):
                wrong = f"{shown}, {found}"
            else:
                return path.read_bytes()
        except FileNotFoundError:
            wrong = f"{shown}, which does not exist"
        except (OSError, ValueError) as error:
            wrong = f"{shown}: {reason(error)}"
    raise BadInput(where, expected="an image's bytes, or a path that exists beside the Parquet file", found=wrong)


def _texts(column: pa.Array, where: object) -> list[str]:
    refuse_bad_strings(column, where)
    texts: list[Any] = column.to_pylist()
    if None in texts:
        raise BadInput(row_place(where, texts.index(None)), expected="a text", found="NULL")
    return texts


def refuse_no_column(files: Sequence[Path], column: str, parameter: str) -> None:
    """Refuse items of which a file lacks the column that the input `parameter` names; only schemas are read.

    Raises:
        BadInput: naming that file and its columns; or a file that cannot be opened.
    """
    for path in item_files(files):
        names = opened(open_rows, path).schema_arrow.names
        if column not in names:
            raise BadInput(
                Parameter(parameter, column),
                expected=f"a column of {path}",
                found=f"columns {', '.join(names)}",
                hint=Advice("name_brought_column", parameter=parameter),
            )


def only_vector_column(paths: Sequence[Path], other_than: str = "") -> str:
    """Name of the column to encode where none has a usual name, and only one column holds vectors; else empty.

    Args:
        other_than: a column of vectors that are not to be encoded.
    """
    try:
        return only_vectors_in(opened(open_rows, item_files(paths)[0]).schema_arrow, other_than)
    except BadInput:
        return ""  # opening the items reports what is wrong with them


def only_vectors_in(schema: pa.Schema, other_than: str = "") -> str:
    """As `only_vector_column`, of opened rows."""
    if set(INPUT_COLUMNS) & set(schema.names):
        return ""
    vectors = [field.name for field in schema if input_kind(field.type) == "vector" and field.name != other_than]
    return vectors[0] if len(vectors) == 1 else ""


def input_of(path: Path, named: str, open_file: OpenFile) -> tuple[InputKind, str]:
    """Kind and name of the column of a file that is encoded.

    Args:
        named: by the user; empty for the first of the usual names.

    Raises:
        BadInput: no such column, or one that cannot be encoded.
    """
    file = opened(open_file, path)
    names = file.schema_arrow.names
    candidates = [named] if named else list(INPUT_COLUMNS)
    for name in candidates:
        if name in names:
            column = file.schema_arrow.field(name).type
            kind = input_kind(column)
            if kind is not None:
                return kind, name
            raise BadInput(
                f"{path}, column {name}",
                expected="images (bytes, or a struct of bytes and path), lists of floats or strings",
                found=str(column),
                hint=Advice("name_column", parameter="input"),
            )
    raise BadInput(
        path,
        expected=f"a column {' or '.join(repr(name) for name in candidates)}",
        found=f"columns {', '.join(names)}",
        hint=Advice("name_column", parameter="input"),
    )
