"""Witness vectors: embeddings of fixed items, made when a model was saved. The model must still make the same ones."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.provenance import changes, made_with, told
from skipfill.compat.inference.witness_items import as_block
from skipfill.store.errors import BadInput, SkipfillError, reason
from skipfill.store.models.cards import WEIGHTS, WITNESS, Card
from skipfill.store.models.files import columns_of, read_file
from skipfill.store.parquet.inputs import input_kind, inputs_of
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix, matrix
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import fitted, parsed

# Length of a difference; a cosine of 1 - 1e-4. Measured on MiniLM: 1e-6 between instruction sets, 9e-3 for products in
# half precision; 0.17 and more for another prefix, case, pooling, length or normaliser of the tokenizer.
TOLERANCE = 0.0141


@dataclass(frozen=True)
class About:
    """The metadata of the file of witness vectors.

    Attributes:
        made_with: see `Witness`.
    """

    made_with: dict[str, str]


@dataclass(frozen=True)
class Witness:
    """Fixed items and what a model made of them when it was saved.

    Attributes:
        items: N of them, by `witness_items`.
        vectors: (N, D) what the model made of them, see `witness_of`.
        made_with: settings, libraries and code then, by name.
    """

    items: ItemBlock
    vectors: Matrix
    made_with: dict[str, str]


def witness_of(model: LoadedModel, items: ItemBlock) -> Matrix:
    """(N, D) embeddings in the model's own space; a blend with an old encoder adds that encoder's."""
    # The last text is long. Encoded alone, it does not pad the others to its length.
    parts = [_only(items, rows.tolist()) for rows in np.split(np.arange(len(items.ids)), [-1]) if len(rows)]
    models = [model, *([model.old_model] if model.old_model else [])]
    return np.concatenate([np.concatenate([one.embed(part) for part in parts]) for one in models], axis=1)


def witness_file(model: LoadedModel, items: ItemBlock, weights: bytes) -> dict[str, bytes]:
    """The file of a bundle that keeps the embeddings of `items`, by its name; none if the model can encode none.

    Items that the user's own code does not take, or encodes differently every time, are left out.
    """
    kept = _only(items, _usable(model, items))
    if not len(kept.ids):
        return {}
    vectors = witness_of(model, kept)
    columns = {
        "id": kept.ids,
        kept.kind: _column(kept),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    about = {"made_with": made_with(model.card, model.network, hashlib.sha256(weights).hexdigest())}
    table = pa.table(columns).replace_schema_metadata({"skipfill": json.dumps(about)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return {WITNESS: buffer.getvalue()}


def read_witness(objects: ObjectStore, card: Card) -> Witness | None:
    """The witness of a bundle; None for one without: it is of an older release, or its encoder took no witness item.

    Raises:
        BadInput: the file is damaged.
    """
    return None if WITNESS not in card.files else witness_from(read_file(objects, card, WITNESS), card)


def witness_from(data: bytes, card: Card) -> Witness:
    """The witness in a file of the bundle.

    Raises:
        BadInput: the file is damaged.
    """
    where = f"{WITNESS} of model {card.name}"
    table = columns_of(data, where, ["id", "embedding"])
    column = table.column(1).chunk(0)
    kind = input_kind(column.type)
    if kind is None:
        raise BadInput(where, expected="images, vectors or texts", found=str(column.type))
    vectors = matrix(table.column("embedding").chunk(0), where, allow_zero=True)
    about = parsed((table.schema.metadata or {}).get(b"skipfill", b"{}"), where)
    inputs = inputs_of(kind, column, where, None)
    return Witness(as_block(inputs), vectors, fitted(About, about, where, {}).made_with)


def verified_model(objects: ObjectStore, name: str, warnings: list[str] | None = None) -> LoadedModel:
    """Read model `name`, as `load_model` does, and confirm that it encodes as it did when it was saved.

    Raises:
        BadInput: see `load_model` and `refuse_changed`.
    """
    model = load_model(objects, name)
    refuse_changed(objects, model, warnings)
    return model


def refuse_changed(objects: ObjectStore, model: LoadedModel, warnings: list[str] | None = None) -> None:
    """Encode the witness items again and compare.

    Args:
        warnings: told when there is no witness, so that nothing can be compared.

    Raises:
        BadInput: the embeddings are different now. The error names the settings, libraries and code that changed.
    """
    witness = read_witness(objects, model.card)
    if witness is None:
        if warnings is not None:
            warnings.append(
                f"model {model.card.name} has no witness vectors: it cannot be verified that it still encodes as it did"
            )
        return
    refuse_others(model, witness)


def refuse_others(model: LoadedModel, witness: Witness) -> None:
    """Raise `BadInput` when the model does not make the stored vectors of its witness items."""
    try:
        found = difference(witness.vectors, witness_of(model, witness.items))
    except Exception as error:  # it may be the user's code
        found = reason(error) if isinstance(error, SkipfillError) else f"{type(error).__name__}: {reason(error)}"
    if not found:
        return
    changed = changes(witness.made_with, made_with(model.card, model.network, model.card.files[WEIGHTS]))
    raise BadInput(
        f"model {model.card.name}",
        expected="the same embeddings of its witness items as when it was saved",
        found=f"{found}; {told(changed)}",
        hint="Bring back the code and the libraries that it was made with, or train it again: its embeddings do not "
        "fit the stored vectors.",
    )


def difference(then: Matrix, now: Matrix) -> str:
    """The difference between embeddings of the same items, in words; empty if they differ only by rounding."""
    if then.shape != now.shape:
        return f"dimension {now.shape[1]} instead of {then.shape[1]}"
    if not np.isfinite(now).all():
        return "embeddings that are not finite"
    if (np.linalg.norm(now - then, axis=1) <= TOLERANCE).all():
        return ""
    lengths = np.linalg.norm(now, axis=1)
    cosines = (then * now).sum(axis=1) / np.maximum(lengths * np.linalg.norm(then, axis=1), 1e-30)
    if cosines.min() >= 1 - TOLERANCE**2 / 2:
        return f"embeddings that are no longer normalised (lengths from {lengths.min():.3g} to {lengths.max():.3g})"
    return f"others, with a cosine of {cosines.min():.4f} in the worst case and {np.median(cosines):.4f} as the median"


def _usable(model: LoadedModel, items: ItemBlock) -> list[int]:
    """Rows that can be encoded together, and give the same vectors each time."""
    rows = list(range(len(items.ids)))
    if _steady(model, items):
        return rows
    found: list[int] = []
    for row in rows:
        if _steady(model, _only(items, [*found, row])):
            found.append(row)
    return found


def _steady(model: LoadedModel, items: ItemBlock) -> bool:
    try:
        return not difference(witness_of(model, items), witness_of(model, items))
    except Exception:  # the user's code need not take items that it was not written for
        return False


def _only(items: ItemBlock, rows: list[int]) -> ItemBlock:
    inputs = [items.inputs[row] for row in rows] if isinstance(items.inputs, list) else items.inputs[rows]
    return as_block(inputs)


def _column(items: ItemBlock) -> pa.Array:
    """The inputs as in a file of items."""
    if not isinstance(items.inputs, list):
        return pa.FixedSizeListArray.from_arrays(pa.array(items.inputs.reshape(-1)), items.inputs.shape[1])
    if items.kind == "text":
        return pa.array(items.inputs, pa.string())
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": data, "path": None} for data in items.inputs], kind)
