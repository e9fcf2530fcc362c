"""Small models that are trained in a moment, and changes to their bundles that a user could make by hand."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.train import train_model
from skipfill.store.models.cards import WITNESS, Card, file_key, load_card
from skipfill.store.storage.location import open_store
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
