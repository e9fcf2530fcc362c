"""Views that are maps: a model with one goes through its whole life, and gives what numpy gives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.compat.inference.encode import encode_all
from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.views import viewed
from skipfill.compat.nn.view_maps import LinearMap, ResidualMap
from skipfill.compat.progress import Progress
from skipfill.compat.serving import released
from skipfill.store.models.cards import Card, load_card
from skipfill.store.parquet.items import open_items
from skipfill.store.spaces import View
from skipfill.store.storage.location import open_store
from tests.compat.inference.bundles import with_map
from tests.conftest import Skipfill, World

STORE = Path(".skipfill")


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
    assert "linear, 8 coordinates" in skipfill("status", "things").out
    assert "linear, 8 coordinates" in skipfill("model", "show", "m").out
    assert "m (linear, 8 coordinates)" in skipfill("history", "things").out

    skipfill("gallery", "append", "things", renamed("viewed.parquet"))
    skipfill("rollback", "things")
    assert skipfill("status", "things", "--json").document["version"]["release"]["model"] == "v1"


def renamed(path: str) -> str:
    """The same rows under other ids."""
    table = pq.read_table(path)
    ids = [f"later-{one}" for one in table.column("id").to_pylist()]
    pq.write_table(table.set_column(0, "id", [ids]), "later.parquet")
    return "later.parquet"


def test_a_linear_view_costs_little_more_than_its_product() -> None:
    """At most 1.5 times numpy's own product, by processor time; twice as much here, where others use the machine."""
    card = Card("m", "ridge", {}, 768, {"old": View(768, "linear")}, [], [], 0, {}, {}, {}, "")
    network = Network(torch.nn.Identity(), "ridge", torch.nn.Identity(), None, None)  # type: ignore[arg-type]
    network.add_map("old", LinearMap(768, 768))
    network.maps_by_space["old"].weight.copy_(torch.eye(768))
    vectors = np.random.default_rng(0).normal(size=(4_096, 768)).astype(np.float32)
    weight = np.eye(768, dtype=np.float32)
    model = LoadedModel(card, network)
    np.testing.assert_allclose(viewed(model, vectors, "old"), unit_rows(vectors), atol=1e-6)
    assert processor(lambda: viewed(model, vectors, "old")) < 3 * processor(lambda: vectors @ weight)


def processor(work: Callable[[], object]) -> float:
    """Least seconds of processor time of five runs."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_a_small_network_is_a_view_too(skipfill: Skipfill, registered: World) -> None:
    view_map = ResidualMap(8, 8, 5)
    with torch.no_grad():
        for one in view_map.parameters():
            one.copy_(torch.randn(one.shape, generator=torch.Generator().manual_seed(len(one))))
    objects = open_store(STORE)
    with_map(objects, "curved", "v1", "old", view_map)
    assert load_card(objects, "curved").views["old"] == View(8, "residual")
    model = load_model(objects, "curved")
    own = encode_all(model, open_items([registered.heldout]), Progress())
    hidden = np.maximum(own @ view_map.inner.weight.detach().numpy().T + view_map.inner.bias.detach().numpy(), 0)
    expected = (
        own @ view_map.weight.numpy().T + view_map.bias.numpy() + hidden @ view_map.outer.weight.detach().numpy().T
    )
    np.testing.assert_allclose(viewed(model, own, "old"), unit_rows(expected), atol=1e-5)


def test_views_through_others() -> None:
    assert View(8, "linear").then(View(4)) == View(4, "linear")
    assert View(8).then(View(4)) == View(4)
    assert View(8).then(View(4, "linear")) is None
    assert View(8, "linear").then(View(4, "linear")) is None
