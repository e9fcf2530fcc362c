"""Commands whose work is cut into tasks give what they give in one process, to the last byte."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from skipfill.compat.gate.check import check_model
from skipfill.compat.gate.inputs import CheckInputs
from skipfill.compat.inference.encode import write_encoded
from skipfill.compat.inference.load import load_model
from skipfill.store.checks.policy import Policy
from skipfill.store.parquet.items import open_items
from skipfill.store.storage.location import open_store
from tests.conftest import World, made_once
from tests.store.engine.elsewhere import Elsewhere
from tests.store.engine.large import SPENT, items, make_large
from tests.store.parquet.formats.writers import json_lines


@pytest.fixture(scope="module")
def folder(with_v2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "large", lambda folder: make_large(folder, with_v2_folder))


@pytest.mark.parametrize("onto", ["", "v1"])
def test_encode_writes_the_same_file(folder: Path, tmp_path: Path, onto: str) -> None:
    model = load_model(open_store(folder / ".skipfill"), "v2")
    source = open_items(items(folder))
    engine, done = Elsewhere(8), []
    assert write_encoded(model, source, tmp_path / "one", onto=onto) == len(source)
    assert write_encoded(model, source, tmp_path / "parts", done.append, onto=onto, engine=engine) == len(source)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "parts").read_bytes()
    assert sum(done) == len(source)
    assert engine.run == 4


def test_machines_read_json_lines_too(with_v2_folder: Path, tmp_path: Path) -> None:
    model = load_model(open_store(with_v2_folder / ".skipfill"), "v2")
    for name in ("items", "heldout"):
        json_lines(pq.read_table(with_v2_folder / f"{name}.parquet"), tmp_path / f"{name}.jsonl")
    source = open_items([tmp_path / "items.jsonl", tmp_path / "heldout.jsonl"])
    engine = Elsewhere(8)
    some = source.restricted(np.arange(len(source)) % 3 == 0)
    write_encoded(model, some, tmp_path / "one")
    write_encoded(model, some, tmp_path / "parts", engine=engine)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "parts").read_bytes()
    assert engine.run == 1


@pytest.mark.parametrize("queries_are_rows", [False, True], ids=["held-out queries", "queries that are rows"])
def test_a_check_reports_the_same(folder: Path, tmp_path: Path, queries_are_rows: bool) -> None:
    world, objects = World.at(folder), open_store(folder / ".skipfill")
    queries = world.heldout
    if queries_are_rows:
        queries = tmp_path / "queries.parquet"
        pq.write_table(pq.read_table(items(folder)[1]).slice(0, 150), queries)
    inputs = CheckInputs(items=[queries], gallery_items=items(folder)[:1], thresholds=[0.5])
    reports = []
    for engine in (Elsewhere(8), Elsewhere(1)):
        report = asdict(check_model(objects, "large", "v2", inputs, Policy("mAP"), save=False, engine=engine))
        reports.append({name: value for name, value in report.items() if name not in SPENT})
        assert engine.run >= 8 or engine.tasks == 1
    assert reports[0] == reports[1]
    assert reports[0]["reencoded_rows"] == 9_000
