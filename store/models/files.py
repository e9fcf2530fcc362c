"""The files of a model bundle: written before its card, read with their hashes verified."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store.errors import BadInput, reason
from skipfill.store.models.cards import TRAINED_CONTENT, TRAINED_IDS, WEIGHTS, Card, file_key, put_card, taken_meanwhile
from skipfill.store.parquet.digests.item_digests import Digests
from skipfill.store.parquet.ids import IdSet, id_type, plain
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import model_folder
from skipfill.store.storage.object_store import ObjectStore

OTHER_IDS = "other_id"
"""Column for ids of a second type."""
ROWS_PER_BYTE = 64  # unique ids take more room than this, however well they are packed


def save_model(
    objects: ObjectStore, card: Card, weights: bytes, trained_ids: IdSet | pa.Array, extra: Mapping[str, bytes] = {}
) -> Card:
    """Write a bundle; the card comes last, so that its existence means a complete bundle.

    Args:
        extra: more files of the bundle, by name. One that decides the vectors, such as an encoder's tokenizer, must
            also be in `card.network` by its digest: these files are not in the fingerprint.

    Raises:
        Stale: another writer took the name meanwhile.
    """
    buffer = io.BytesIO()
    ids = trained_ids if isinstance(trained_ids, IdSet) else IdSet.of([trained_ids])
    pq.write_table(_id_table(ids), buffer, compression="zstd")
    contents = {WEIGHTS: weights, TRAINED_IDS: buffer.getvalue(), **extra}
    files = {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()}
    complete = replace(card, files=files)
    for file, data in contents.items():
        # Named by content: of two trainings for one name, the second does not change the files of the first.
        # Written again if it is there, so that no prune takes it for a leftover of a killed run.
        objects.replace(file_key(complete, file), data)
    if not put_card(objects, complete):
        raise taken_meanwhile(card.name)
    for file, data in contents.items():
        quarantine.ensure(objects, file_key(complete, file), data)
    return complete


def read_file(objects: ObjectStore, card: Card, file: str) -> bytes:
    """Read one file of the bundle and verify its hash.

    Raises:
        BadInput: the file is missing or its content is not what the card says.
    """
    key = file_key(card, file)
    try:
        data = quarantine.read(objects, key)
    except FileNotFoundError:
        data = b""
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.files.get(file):
        raise BadInput(
            objects.root / key,
            expected=f"SHA-256 {card.files.get(file, '')[:12]}... as in the card",
            found=f"{digest[:12]}... ({len(data)} bytes)",
            hint=f"The bundle is damaged: restore {model_folder(card.name)}/ from a copy, or train it again.",
        )
    return data


def trained_ids(objects: ObjectStore, card: Card) -> IdSet:
    """Ids of the items the model was trained on.

    Raises:
        BadInput: a damaged file, or ids of a type that no items have.
    """
    table = read_columns(objects, card, TRAINED_IDS, ["id"])
    where = objects.root / file_key(card, TRAINED_IDS)
    columns = [table.column(name) for name in ("id", OTHER_IDS) if name in table.column_names]
    return IdSet.of(plain(column, id_type(column.type, where), where) for column in columns)


def _id_table(ids: IdSet) -> pa.Table:
    """One column, which older releases read; for ids of two types a second one, each NULL where the other is not."""
    count, before, columns = len(ids), 0, {}
    for name, part in zip(("id", OTHER_IDS), ids.parts, strict=False):
        after = count - before - len(part)
        columns[name] = pa.concat_arrays([pa.nulls(before, part.type), part, pa.nulls(after, part.type)])
        before += len(part)
    return pa.table(columns)


@dataclass(frozen=True)
class TrainedContent:
    """Digests of the items that a model was trained on: see `content_digests`.

    Attributes:
        digests: each once, ascending.
        complete: whether these are all; a model of an older release has none, and one that builds on it only some.
    """

    digests: Digests
    complete: bool

    @classmethod
    def joined(cls, parts: Sequence[TrainedContent]) -> TrainedContent:
        """The content of all parts together."""
        digests = np.unique(np.concatenate([np.zeros(0, np.uint64), *(part.digests for part in parts)]))
        return cls(digests, all(part.complete for part in parts))

    def files(self) -> dict[str, bytes]:
        """The file of the bundle. A NULL stands for items that are not known."""
        column = pa.array(self.digests)
        if not self.complete:
            column = pa.concat_arrays([column, pa.nulls(1, pa.uint64())])
        buffer = io.BytesIO()
        pq.write_table(pa.table({"content": column}), buffer, compression="zstd")
        return {TRAINED_CONTENT: buffer.getvalue()}


def trained_content(objects: ObjectStore, card: Card) -> TrainedContent:
    """Digests of the items that the model was trained on; none, and incomplete, for a model of an older release."""
    if TRAINED_CONTENT not in card.files:
        return TrainedContent(np.zeros(0, np.uint64), complete=False)
    column = read_columns(objects, card, TRAINED_CONTENT, ["content"]).column("content").combine_chunks()
    if column.type != pa.uint64():
        raise BadInput(objects.root / file_key(card, TRAINED_CONTENT), expected="uint64", found=str(column.type))
    return TrainedContent(np.unique(column.drop_null().to_numpy()), complete=column.null_count == 0)


def refuse_claimed_rows(data: bytes, where: object) -> None:
    """Raise `BadInput` unless `data` is Parquet that can hold as many rows as it claims."""
    try:
        rows = pq.read_metadata(io.BytesIO(data)).num_rows
    except (OSError, pa.ArrowException) as error:
        raise BadInput(where, expected="a Parquet file", found=reason(error)) from error
    if not 0 <= rows <= ROWS_PER_BYTE * len(data):
        raise BadInput(where, expected=f"no more rows than {len(data):,} bytes can hold", found=f"{rows:,} claimed")


def read_columns(objects: ObjectStore, card: Card, file: str, names: list[str]) -> pa.Table:
    """Read a Parquet file of the bundle, which has columns `names` and perhaps others.

    Raises:
        BadInput: no such file; see `read_file`.
    """
    return columns_of(read_file(objects, card, file), objects.root / file_key(card, file), names)


def columns_of(data: bytes, where: object, names: list[str]) -> pa.Table:
    """The table of a Parquet file, which has columns `names` and perhaps others.

    Raises:
        BadInput: it is not Parquet, or claims more rows than it can hold.
    """
    refuse_claimed_rows(data, where)
    try:
        table = pq.read_table(io.BytesIO(data)).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise BadInput(where, expected="a readable Parquet file", found=reason(error)) from error
    if not set(names) <= set(table.column_names) or not len(table):
        found = f"{len(table)} rows of {', '.join(table.column_names)}"
        raise BadInput(where, expected=f"rows of {', '.join(names)}", found=found)
    return table
