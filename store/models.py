"""Model bundles: safetensors weights, the ids trained on, files of the parts, and a JSON card, written last."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.store import aside
from skipfill.store.errors import BadInput, reason, unknown_name
from skipfill.store.names import valid_name
from skipfill.store.objects import Objects
from skipfill.store.spaces import Space, load_space, slots_by_order
from skipfill.store.strict_json import LARGEST_STORED, Older, fitted, parsed, refuse_newer
from skipfill.store.versions import View

FORMAT = 1
WEIGHTS = "weights.safetensors"
TRAINED_IDS = "trained_ids.parquet"
LOG = "log.ndjson"
WITNESS = "witness.parquet"
CARD = "card.json"
ROWS_PER_BYTE = 64  # unique ids take more room than this, however well they are packed
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Card:
    """What a model is, without loading its weights.

    Attributes:
        name: also the name of its own space.
        method: how it was made.
        network: kinds and settings of its parts, from which it is built again.
        dim: dimension of its own space; embeddings are L2-normalised.
        views: space name -> view from its own space onto that one.
        classes: those it knows, the ones of the old space first.
        slots: class -> vertex of the simplex, which later models keep; empty for methods without one.
        trained_labels: classes it was trained on.
        gallery: name and version it was trained against, when it was.
        recipe: every resolved setting of the training.
        losses: mean of each loss term in the last epoch.
        training: how it went: epochs, the one that was kept, items held out to choose it, processes.
        files: SHA-256 of each file of the bundle; the digest is part of the file's name.
        digest: SHA-256 of the rest of the card; empty in old ones.
    """

    name: str
    method: str
    network: dict[str, Any]
    dim: int
    views: dict[str, View]
    classes: list[str]
    trained_labels: list[str]
    trained_items: int
    gallery: dict[str, Any]
    recipe: dict[str, Any]
    losses: dict[str, float]
    created: str
    training: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    digest: str = field(default="", compare=False)
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides the vectors: network, settings and weights."""
        content = json.dumps([self.network, self.files.get(WEIGHTS, "")], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def encoder(self) -> dict[str, Any]:
        """Kind and settings of its encoder; empty for a card that does not say."""
        found = self.network.get("encoder")
        return found if isinstance(found, dict) else {}

    @property
    def encoders(self) -> list[Any]:
        """Kinds of its encoder and of those blended with it."""
        kinds: list[Any] = []
        network: Any = self.network
        while isinstance(network, dict):
            encoder = network.get("encoder")
            kinds.append(encoder.get("kind") if isinstance(encoder, dict) else None)
            network = network.get("old") or None
        return kinds

    @property
    def space(self) -> Space:
        """The model's own space."""
        earlier = {space: view for space, view in self.views.items() if space != self.name}
        return Space(self.name, self.dim, "cosine", self.fingerprint, self.classes, self.slots, earlier)


def model_names(objects: Objects) -> list[str]:
    """Names of the complete bundles."""
    return [name for name in objects.children("models") if has_model(objects, name)]


def has_model(objects: Objects, name: str) -> bool:
    """Whether there is a complete bundle of this name."""
    return objects.exists(_key(name, CARD))


def refuse_taken(objects: Objects, name: str) -> None:
    """Raise `BadInput` when a model or a space of this name exists already: bundles are immutable."""
    if has_model(objects, name) or objects.exists(f"spaces/{name}.json"):
        raise BadInput(
            f"model {name}",
            expected="a name that is free",
            found="a model or a space of this name",
            hint="Choose another name: models are never overwritten. See: skipfill model list",
        )


def save_model(
    objects: Objects, card: Card, weights: bytes, trained_ids: pa.Array, extra: Mapping[str, bytes] = {}
) -> Card:
    """Write a bundle, the card last, so that its existence means complete.

    Args:
        extra: more files of the bundle, by name. One that decides the vectors, such as an encoder's tokenizer, must
            also be in `card.network` by its digest: these files are not in the fingerprint.

    Raises:
        BadInput: the name was taken meanwhile.
    """
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": trained_ids}), buffer, compression="zstd")
    contents = {WEIGHTS: weights, TRAINED_IDS: buffer.getvalue(), **extra}
    files = {file: hashlib.sha256(data).hexdigest() for file, data in contents.items()}
    complete = replace(card, files=files)
    for file, data in contents.items():
        # Named by content: of two trainings for one name, the second does not change the files of the first.
        # Written again if it is there: what a killed run left must not be pruned from under this one.
        objects.replace(file_key(complete, file), data)
    if not put_card(objects, complete):
        refuse_taken(objects, card.name)
    for file, data in contents.items():
        aside.ensure(objects, file_key(complete, file), data)
    return complete


def put_card(objects: Objects, card: Card) -> bool:
    """Make a bundle visible, all its files being there; False when the name is taken."""
    raw = json.loads(json.dumps(asdict(card)))
    return objects.put_new(_key(card.name, CARD), json.dumps({**raw, "digest": _digest(raw)}, indent=1).encode())


def load_card(objects: Objects, name: str) -> Card:
    """Read a model's card.

    Raises:
        BadInput: no such model (the nearest names are offered), or a card of a newer format.
    """
    where = objects.root / _key(name, CARD)
    try:
        data = objects.get(_key(name, CARD))
    except FileNotFoundError:
        hint = "See: skipfill model list"
        raise unknown_name("model", name, model_names(objects), hint) from None
    return card_from(parsed(data, where, LARGEST_STORED), where, name)


def card_from(raw: Any, where: object, name: str = "") -> Card:
    """The card that the JSON value `raw` is.

    Args:
        name: of the model whose card it must be; empty for any.

    Raises:
        BadInput: a newer format, a missing or unknown key, a value of another type, or a name, view or digest that
            no model can have.
    """
    refuse_newer(raw, where, "card", FORMAT)
    older: Older = {Card: {"slots": lambda read: slots_by_order(read["classes"])}}
    card = fitted(Card, raw, where, older)
    if card.name != (name or card.name):
        raise BadInput(where, expected=f"the card of {name}", found=f"that of {card.name!r}")
    for kind, names in (("model", [card.name]), ("space", card.views), ("file", card.files)):
        for one in names:
            valid_name(kind, one)
    if card.dim < max([1, *(view.dim for view in card.views.values())]):
        raise BadInput(where, expected="views of no more coordinates than it has", found=f"{card.dim}")
    for file, digest in card.files.items():
        if "." not in file or not SHA256.fullmatch(digest):
            raise BadInput(where, expected=f"the SHA-256 of {file!r}", found=repr(digest[:80]))
    if card.digest not in ("", _digest(raw)):
        raise BadInput(where, expected="the card as it was saved", found="one that was changed")
    return card


def _digest(raw: dict[str, Any]) -> str:
    content = {key: value for key, value in raw.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def space_of(objects: Objects, name: str) -> Space:
    """The space of model `name`, which may be gone if a gallery of it was registered.

    Raises:
        BadInput: neither a model nor a registered space of this name.
    """
    if has_model(objects, name) or not objects.exists(f"spaces/{name}.json"):
        return load_card(objects, name).space
    return load_space(objects, name)


def read_file(objects: Objects, card: Card, file: str) -> bytes:
    """One file of the bundle, its hash verified.

    Raises:
        BadInput: the file is missing or its content is not what the card says.
    """
    key = file_key(card, file)
    try:
        data = aside.read(objects, key)
    except FileNotFoundError:
        data = b""
    found = hashlib.sha256(data).hexdigest()
    if found != card.files.get(file):
        raise BadInput(
            objects.root / key,
            expected=f"SHA-256 {card.files.get(file, '')[:12]}... as in the card",
            found=f"{found[:12]}... ({len(data)} bytes)",
            hint=f"The bundle is damaged: restore models/{card.name}/ from a copy, or train it again.",
        )
    return data


def trained_ids(objects: Objects, card: Card) -> pa.Array:
    """Ids of the items the model was trained on."""
    return read_columns(objects, card, TRAINED_IDS, ["id"]).column("id").combine_chunks()


def refuse_claimed_rows(data: bytes, where: object) -> None:
    """Raise `BadInput` unless `data` is Parquet that can hold as many rows as it claims."""
    try:
        rows = pq.read_metadata(io.BytesIO(data)).num_rows
    except (OSError, pa.ArrowException) as error:
        raise BadInput(where, expected="a Parquet file", found=reason(error)) from error
    if not 0 <= rows <= ROWS_PER_BYTE * len(data):
        raise BadInput(where, expected=f"no more rows than {len(data):,} bytes can hold", found=f"{rows:,} claimed")


def read_columns(objects: Objects, card: Card, file: str, names: list[str]) -> pa.Table:
    """A Parquet file of the bundle, which has columns `names` and perhaps others.

    Raises:
        BadInput: no such file; see `read_file`.
    """
    where = objects.root / file_key(card, file)
    data = read_file(objects, card, file)
    refuse_claimed_rows(data, where)
    try:
        table = pq.read_table(io.BytesIO(data)).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise BadInput(where, expected="a readable Parquet file", found=reason(error)) from error
    if not set(names) <= set(table.column_names) or not len(table):
        found = f"{len(table)} rows of {', '.join(table.column_names)}"
        raise BadInput(where, expected=f"rows of {', '.join(names)}", found=found)
    return table


def file_key(card: Card, file: str) -> str:
    """Where a file of the bundle lies: `weights.safetensors` is `weights-0123456789ab.safetensors`."""
    stem, suffix = valid_name("file", file).rsplit(".", 1)
    return _key(card.name, f"{stem}-{card.files.get(file, '')[:12]}.{suffix}")


def _key(name: str, file: str) -> str:
    return f"models/{valid_name('model', name)}/{file}"
