"""Small models that are trained in a moment, and changes to their bundles that a user could make by hand."""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.witness import read_witness, witness_file
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.train import train_model
from skipfill.store.models.archive import packed
from skipfill.store.models.cards import WITNESS, Card, file_key, load_card
from skipfill.store.models.files import save_model, trained_content, trained_ids
from skipfill.store.models.transfer import MANIFEST
from skipfill.store.spaces import View
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import json_digest
from tests.compat.encoders.samples import bert, block

STORE = Path(".skipfill")


def write_items(inputs: Any, target: str = "items.parquet", start: int = 0) -> Path:
    kind = block(inputs).kind
    rows = [{"bytes": one, "path": None} for one in inputs] if kind == "image" else list(inputs)
    labels = ["a" if row % 2 else "b" for row in range(len(rows))]
    pq.write_table(pa.table({"id": range(start, start + len(rows)), kind: pa.array(rows), "label": labels}), target)
    return Path(target)


def trained(encoder: str, inputs: Any, name: str = "v1", **settings: Any) -> Card:
    kind = encoder.partition(":")[0]
    recipe = Recipe("independent", encoder=encoder, settings={kind: settings} if settings else {}, epochs=1, batch=16)
    return train_model(open_store(STORE), name, recipe, Sources([write_items(inputs)]))


def texts(folder: Path, **settings: Any) -> Card:
    """v1, a sentence encoder over letters."""
    return trained(f"hf:{bert(folder)}", ["ab" * (1 + row % 5) for row in range(32)], frozen=True, **settings)


def with_map(objects: ObjectStore, name: str, source: str, space: str, view_map: LinearMap) -> Card:
    """Save model `name`: model `source`, with a map onto `space`."""
    model = load_model(objects, source)
    network: Network = model.network
    network.add_map(space, view_map)
    view = View(len(view_map.bias), view_map.describe()["kind"])
    views = {name: View(model.card.dim), space: view}
    card = replace(model.card, name=name, views=views, network=network.describe(), files={})
    witness, weights = read_witness(objects, model.card), network.weights()
    assert witness is not None
    files = witness_file(LoadedModel(card, network.eval()), witness.items, weights)
    files |= {**network.files(), **trained_content(objects, model.card).files()}
    return save_model(objects, card, weights, trained_ids(objects, model.card), files)


def write_module(folder: Path, name: str, text: str) -> None:
    """Write a module and forget the one that was loaded, as a new process would."""
    (folder / f"{name}.py").write_text(text)
    sys.modules.pop(name, None)


def rewritten(change: dict[str, Any], file: str = "", data: bytes = b"") -> None:
    """Change encoder settings of v1's card, and a file with its digest, as one who edits a bundle with care."""
    path = STORE / "models" / "v1" / "card.json"
    raw = json.loads(path.read_text())
    raw["network"]["encoder"]["settings"].update(change)
    raw.pop("digest", None)
    if file:
        raw["files"][file] = hashlib.sha256(data).hexdigest()
        card = replace(load_card(open_store(STORE), "v1"), files=raw["files"])
        (STORE / file_key(card, file)).write_bytes(data)
    path.write_text(json.dumps(raw))


def without_witness(name: str) -> None:
    """The bundle as an older release wrote it."""
    path = STORE / "models" / name / "card.json"
    raw = json.loads(path.read_text())
    (STORE / file_key(load_card(open_store(STORE), name), WITNESS)).unlink()
    raw["files"].pop(WITNESS)
    raw.pop("digest", None)
    path.write_text(json.dumps(raw))


Content = dict[str, Any]


def forged(bundle: Path, target: Path, change: Callable[[Content, dict[str, bytes]], object]) -> Path:
    """An exported bundle with its card and its files changed, every hash right, as one who attacks would make it.

    Args:
        change: is given the card and the files by name, and changes them in place.
    """
    with tarfile.open(bundle, "r:") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    manifest = json.loads(files.pop(MANIFEST))
    card = manifest["card"]
    change(card, files)
    card["files"] = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    card["digest"] = ""
    del manifest["digest"]
    manifest["digest"] = json_digest(manifest)
    target.write_bytes(b"".join(packed([(MANIFEST, json.dumps(manifest).encode()), *sorted(files.items())])))
    return target


def with_tokenizer(card: Content, files: dict[str, bytes], **parts: Any) -> None:
    """Change parts of the tokenizer of a text model, under its right digest."""
    files["tokenizer.json"] = json.dumps({**json.loads(files["tokenizer.json"]), **parts}).encode()
    card["network"]["encoder"]["settings"]["tokenizer"] = hashlib.sha256(files["tokenizer.json"]).hexdigest()
