"""New vectors of candidates are kept as they are made, and come from where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.progress import Progress
from skipfill.compat.reranking.new_vectors import NewVectorSource
from skipfill.store.overlays.overlay import open_overlay
from skipfill.store.parquet import items
from skipfill.store.parquet.items import Items, open_items
from skipfill.store.parquet.vectors import normalised
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import World


@pytest.fixture
def objects(with_v2: World) -> ObjectStore:
    return open_store(Path(".skipfill"))


@pytest.fixture
def model(objects: ObjectStore) -> LoadedModel:
    return load_model(objects, "v2")


@pytest.fixture
def rows(with_v2: World) -> Items:
    return open_items([with_v2.gallery_items])


class Stopped(Exception):
    pass


def rows_kept(objects: ObjectStore, model: LoadedModel) -> int:
    return open_overlay(objects, "things", model.card.fingerprint, model.card.dim).rows


def test_what_is_stopped_has_kept_every_block_before(
    objects: ObjectStore, model: LoadedModel, rows: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "BLOCK_ROWS", 100)
    blocks = []

    def stop(advanced: int) -> None:
        blocks.append(advanced)
        if len(blocks) == 2:
            raise Stopped

    everything = np.ones(len(rows), bool)
    source = NewVectorSource(objects, "things", model, rows, True, Progress(lambda stage, total: None, stop))
    with pytest.raises(Stopped):
        source.of(rows.ids, everything)
    assert rows_kept(objects, model) == 200
    again = NewVectorSource(objects, "things", model, rows, True).of(rows.ids, everything)
    assert (int(again.from_overlay.sum()), int(again.encoded.sum())) == (200, len(rows) - 200)
    assert rows_kept(objects, model) == len(rows)


def test_nothing_is_kept_unless_it_is_asked_for(objects: ObjectStore, model: LoadedModel, rows: Items) -> None:
    found = NewVectorSource(objects, "things", model, rows).of(rows.ids, np.ones(len(rows), bool))
    assert found.encoded.all()
    assert rows_kept(objects, model) == 0


def test_vectors_are_those_of_the_rows_in_the_order_asked(
    objects: ObjectStore, model: LoadedModel, rows: Items
) -> None:
    """Some have no item, and some are not wanted."""
    order = np.random.default_rng(0).permutation(len(rows))
    asked = pa.concat_arrays([rows.ids.take(pa.array(order)), pa.array(["nobody"])])
    wanted = np.arange(len(asked)) % 3 > 0
    found = NewVectorSource(objects, "things", model, rows).of(asked, wanted)
    assert found.known.tolist() == [*wanted[:-1].tolist(), False]
    made = normalised(np.concatenate([vectors for _, vectors in model.encode(rows)]))[order]
    np.testing.assert_allclose(found.vectors[:-1][wanted[:-1]], made[wanted[:-1]], atol=1e-6)
    assert not found.vectors[~found.known].any()


def test_without_items_the_overlay_is_trusted(objects: ObjectStore, model: LoadedModel, rows: Items) -> None:
    some = np.arange(len(rows)) < 50
    NewVectorSource(objects, "things", model, rows, True).of(rows.ids, some)
    alone = NewVectorSource(objects, "things", model).of(rows.ids, np.ones(len(rows), bool))
    assert alone.known.tolist() == alone.trusted.tolist() == some.tolist()
    beside = NewVectorSource(objects, "things", model, rows).of(rows.ids, some)
    assert beside.from_overlay.tolist() == some.tolist()
    assert not beside.trusted.any()
    assert pq.read_metadata("gallery_items.parquet").num_rows == len(rows)
