"""Stores with a small gallery and models that have no weights: for tests of what a store does with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.report import Flips, Report
from skipfill.store.checks.saved_reports import save_report
from skipfill.store.galleries.log import Version, latest
from skipfill.store.galleries.register import add_gallery
from skipfill.store.models.cards import Card, load_card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.stored_rows import Columns
from skipfill.store.releases.swap import apply_plan, plan_swap
from skipfill.store.spaces import Space, View
from skipfill.store.storage.address import address
from skipfill.store.storage.location import init_store
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import write_vectors


def card(name: str) -> Card:
    """A model of dimension 8, with a view onto the first 4 dimensions of space `old`."""
    return Card(name, "gallery", {}, 8, {name: View(8), "old": View(4)}, [], [], 0, {}, {}, {}, "")


def store_with(folder: Path, rows: int, files: int = 1) -> ObjectStore:
    """A store in `folder`/.skipfill, as `store_at` makes it."""
    return store_at(str(folder / ".skipfill"), folder, rows, files)


def store_at(place: str, folder: Path, rows: int = 100, files: int = 1) -> ObjectStore:
    """Gallery g of `rows` rows in space `old`, its files in `folder`, and models v2 and v3 with a view onto it."""
    objects = init_store(address(place))
    each = rows // files
    for index in range(files):
        vectors = np.random.default_rng(index).normal(size=(each, 4))
        write_vectors(folder / f"part-{index:04d}.parquet", vectors, np.arange(index * each, (index + 1) * each))
    add_gallery(objects, "g", sorted(folder.glob("part-*.parquet")), Columns(), Space("old", 0), None)
    for name in ("v2", "v3"):
        save_model(objects, card(name), name.encode(), trained_ids())
    return objects


def trained_ids() -> pa.Array:
    """The one item that the models are said to be trained on."""
    return pa.array(["a"])


def swap(objects: ObjectStore, gallery: str, card: Card, without_check: str = "", reason: str = "") -> Version:
    """Plan a swap and apply the plan at once, as the command does."""
    index = CheckIndex(objects, gallery)
    return apply_plan(
        objects, plan_swap(objects, gallery, card, without_check, index=index), index, reason=reason, at_once=True
    )


ASKED = Queries.of(["a", "b", "c"])
"""The options of a saved check, if nothing else is said."""


def saved_check(objects: ObjectStore, model: str = "v2", created: str = "2026-01-01", **changed: Any) -> Report:
    """Save a passing check of a model on gallery `g` as it is now."""
    report = Report(
        gallery="g",
        version=latest(objects, "g").number,
        state=latest(objects, "g").state,
        model=model,
        fingerprint=load_card(objects, model).fingerprint,
        verdict="pass",
        why=[],
        slices=[],
        policy={},
        truth="labels",
        gallery_rows=100,
        reencoded_rows=0,
        ceiling="",
        baseline="",
        flips=Flips([], []),
        scores=[],
        warnings=[],
        created=created,
        seconds=0.0,
        queries=ASKED,
        rows_state=latest(objects, "g").rows_state,
    )
    return save_report(objects, replace(report, **changed), pa.table({"id": ["a"]}))
