"""Views that are maps: a model with one goes through its whole life, and gives what numpy gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.witness import read_witness, witness_file
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.serving import released
from skipfill.store.models.cards import Card
from skipfill.store.models.files import save_model, trained_content, trained_ids
from skipfill.store.spaces import View
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, World

STORE = Path(".skipfill")


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


def vectors_in(path: Path | str) -> np.ndarray:
    return np.stack(pq.read_table(path).column("vector").to_pylist()).astype(np.float32)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def mapped(skipfill: Skipfill, registered: World) -> World:
    """Model `m`: one without a compatible view, and a least-squares map onto the gallery's space."""
    new = ["--dim", 12, "--epochs", 40, "--batch", 32]
    skipfill("train", "free", "--items", registered.items, "--method", "independent", *new)
    skipfill("encode", "free", registered.gallery_items, "-o", "free.parquet")
    own = np.c_[vectors_in("free.parquet"), np.ones(len(vectors_in("free.parquet")), np.float32)]
    solution = np.linalg.lstsq(own, unit_rows(vectors_in("gallery.parquet")), rcond=None)[0].T
    view_map = LinearMap(12, 8)
    view_map.weight.copy_(torch.from_numpy(solution[:, :-1]))
    view_map.bias.copy_(torch.from_numpy(solution[:, -1]))
    with_map(open_store(STORE), "m", "free", "v1", view_map)
    return registered


def by_numpy(view_map: LinearMap, own: np.ndarray) -> np.ndarray:
    return unit_rows(own @ view_map.weight.numpy().T + view_map.bias.numpy())


def test_a_linear_view_goes_through_check_swap_search_serving_and_rollback(skipfill: Skipfill, mapped: World) -> None:
    objects = open_store(STORE)
    view_map = load_model(objects, "m").network.maps_by_space["v1"]
    skipfill("encode", "m", mapped.heldout, "-o", "own.parquet")
    expected = by_numpy(view_map, vectors_in("own.parquet"))
    skipfill("encode", "m", mapped.heldout, "--onto", "v1", "-o", "viewed.parquet")
    np.testing.assert_allclose(vectors_in("viewed.parquet"), expected, atol=1e-6)

    check = ["check", "things", "m", "--items", mapped.heldout, "--gallery-items", mapped.gallery_items]
    report = skipfill(*check, "--json", expect=None).document["check"]
    stored, labels = unit_rows(vectors_in("gallery.parquet")), pq.read_table("gallery.parquet").column("label")
    first = np.array(labels.to_pylist())[(expected @ stored.T).argmax(axis=1)]
    right = (first == np.array(pq.read_table(mapped.heldout).column("label").to_pylist())).mean()
    cells = {(one["pair"], one["metric"]): one["value"]["mean"] for one in report["slices"][0]["cells"]}
    assert cells["new/old", "CMC@1"] == pytest.approx(right)

    skipfill("plan", "things", "m", "--without-check", "by hand", "-o", "plan.json")
    assert json.loads(Path("plan.json").read_text())["format"] == 2
    skipfill("swap", "things", "--plan", "plan.json")
    hits = skipfill("search", "things", "--items", mapped.heldout, "-k", 1, "--json").document["hits"]
    ids = np.array(pq.read_table("gallery.parquet").column("id").to_pylist())
    assert [hit["id"] for hit in hits] == ids[(expected @ stored.T).argmax(axis=1)].tolist()
    served = released(objects, "things")
    np.testing.assert_allclose(served.encode(vectors_in(mapped.heldout)), expected, atol=1e-6)
    assert "linear 8" in skipfill("status", "things").out
    assert "linear 8" in skipfill("model", "show", "m").out
    assert "m (linear 8)" in skipfill("history", "things").out

    skipfill("gallery", "append", "things", renamed("viewed.parquet"))
    skipfill("rollback", "things")
    assert skipfill("status", "things", "--json").document["version"]["release"]["model"] == "v1"


def renamed(path: str) -> str:
    """The same rows under other ids."""
    table = pq.read_table(path)
    ids = [f"later-{one}" for one in table.column("id").to_pylist()]
    pq.write_table(table.set_column(0, "id", [ids]), "later.parquet")
    return "later.parquet"
