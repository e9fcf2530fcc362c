"""Commands on a Ray cluster of two machines, which are processes here; one is lost in the middle.

pip install -c .ci/constraints.txt '.[test,ray]' && python -m pytest tests/store/engine/test_ray.py
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow.parquet as pq
import pytest

from skipfill.store.engine.engine import Engine
from skipfill.store.engine.ray import ray_cluster
from skipfill.store.errors import BadInput
from skipfill.store.parquet.pinned import PinnedFiles
from skipfill.store.parquet.stored_rows import Columns, StoredRows
from skipfill.store.retrieval.search import Hits, search
from skipfill.store.storage.address import Url
from skipfill.store.storage.client import client
from tests.conftest import Skipfill, World, made_once, write_vectors
from tests.programs.object_storage import KEY, SECRET, Fault, Network, make_bucket, network_to
from tests.store.engine.large import FILES, SPENT, items, make_large

pytest.importorskip("ray", reason="Ray is not installed: pip install 'skipfill[ray]'")

SLOW, OBJECTS = 0.4, 8
"""Seconds that each request waits on the slow storage, and how many files of a gallery lie there."""
MACHINE = {"num_cpus": 1, "object_store_memory": 80_000_000}
HEAD = {
    **MACHINE,
    "include_dashboard": False,
    "_system_config": {"health_check_period_ms": 1_000, "health_check_failure_threshold": 3},
}
"""Its cluster notices a lost machine within seconds."""


class Machines:
    """A cluster of machines with one processor each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        self._second: Any = None
        self.address = self._cluster.address

    def use(self, count: int) -> None:
        """Have one or two machines."""
        if count == 2 and self._second is None:
            self._second = self._cluster.add_node(**MACHINE)
        elif count == 1:
            self.lose_one()

    def lose_one(self) -> None:
        """Kill one of two machines with what runs there."""
        if self._second is not None:
            self._cluster.remove_node(self._second, allow_graceful=False)
            self._second = None

    def end(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def slow_storage(server: str) -> Iterator[Network]:
    """The S3-compatible server, each of whose answers waits; the environment describes it, also of the machines."""
    with network_to(server) as network, pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": network.url,
            "NO_PROXY": "127.0.0.1",
            "RAY_DISABLE_IMPORT_WARNING": "1",
        }.items():
            environment.setenv(name, value)
        yield network


@pytest.fixture(scope="module")
def machines(slow_storage: Network) -> Iterator[Machines]:
    made = Machines()
    yield made
    made.end()


@pytest.fixture
def large(skipfill: Skipfill, with_v2_folder: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    folder = made_once(tmp_path_factory, "large", lambda folder: make_large(folder, with_v2_folder))
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def on_ray(machines: Machines) -> list[str]:
    machines.use(2)
    return ["--engine", "ray", "--address", machines.address]


def test_encode_writes_the_same_file(skipfill: Skipfill, large: Path, on_ray: list[str]) -> None:
    skipfill("encode", "v2", *items(large), "-o", "one.parquet")
    skipfill("encode", "v2", *items(large), "-o", "two.parquet", *on_ray)
    assert Path("one.parquet").read_bytes() == Path("two.parquet").read_bytes()


def test_search_finds_the_same(skipfill: Skipfill, large: Path, on_ray: list[str]) -> None:
    asked = ("search", "large", "--vectors", "gallery.parquet", "-k", 20)
    skipfill(*asked, "-o", "one.parquet")
    skipfill(*asked, "-o", "two.parquet", *on_ray)
    assert pq.read_table("one.parquet").equals(pq.read_table("two.parquet"))


def test_check_reports_the_same(skipfill: Skipfill, large: Path, on_ray: list[str]) -> None:
    given = ("--items", World.at(large).heldout, "--gallery-items", items(large)[0], "--no-save", "--json")
    one, two = (skipfill("check", "large", "v2", *given, *more, expect=None) for more in ([], on_ray))
    assert one.code == two.code
    reports = [json.loads(each.out)["check"] for each in (one, two)]
    assert all(reports[0][name] == reports[1][name] for name in reports[0] if name not in SPENT)


def test_a_changed_file_is_refused(skipfill: Skipfill, large: Path, on_ray: list[str]) -> None:
    """The content is compared by tasks: the same size, footer and time do not help."""
    path = large / f"rows-{FILES - 1}.parquet"
    data, times = bytearray(path.read_bytes()), path.stat()
    place = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset + 2_000
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    given = ("--items", World.at(large).heldout, "--no-save")
    one, two = (skipfill("check", "large", "v2", *given, *more, expect=None) for more in ([], on_ray))
    assert one.code == two.code != 0
    assert one.err.splitlines()[-1] == two.err.splitlines()[-1]


QUERIES = np.random.default_rng(5).normal(size=(20, 4)).astype(np.float32)


@dataclass
class Remote:
    """Rows of several files on storage that answers slowly, and what a search in one process found there."""

    rows: StoredRows
    found: Hits

    def search(self, engine: Engine, meanwhile: Callable[[int], None] = lambda rows: None) -> float:
        """Search on the cluster, compare with the search here, and tell the seconds."""
        began = time.perf_counter()
        found = search(self.rows, QUERIES, 10, progress=meanwhile, engine=engine)
        took = time.perf_counter() - began
        assert found.ids.equals(self.found.ids)
        np.testing.assert_array_equal(found.scores, self.found.scores)
        return took


@pytest.fixture(scope="module")
def remote(slow_storage: Network, tmp_path_factory: pytest.TempPathFactory) -> Remote:
    make_bucket(slow_storage.url, "slow-rows")
    random, urls = np.random.default_rng(0), []
    for number in range(OBJECTS):
        path = tmp_path_factory.mktemp("slow") / "rows.parquet"
        ids = [f"{number}-{row}" for row in range(20_000)]
        write_vectors(path, random.normal(size=(20_000, 4)), ids)
        urls.append(Url(f"s3://slow-rows/{number:02d}.parquet"))
        obstore.put(client(Url("s3://slow-rows")), f"{number:02d}.parquet", path.read_bytes())
    rows = StoredRows.open(urls, Columns(), None, PinnedFiles())
    made = Remote(rows, search(rows, QUERIES, 10))
    slow_storage.faults.append(Fault("waits", "GET", first=lambda: time.sleep(SLOW)))
    return made


def test_two_machines_wait_for_storage_at_once(machines: Machines, remote: Remote) -> None:
    machines.use(2)
    seconds = {}
    with ray_cluster(machines.address) as engine:
        for count in (2, 1):
            machines.use(count)
            remote.search(engine)  # starts the workers
            seconds[count] = min(remote.search(engine) for _ in range(2))
    assert seconds[1] / seconds[2] >= 1.7, seconds


def test_a_lost_machine_changes_nothing(machines: Machines, remote: Remote) -> None:
    machines.use(2)
    done: list[int] = []

    def lose_one_soon(rows: int) -> None:
        done.append(rows)
        if len(done) == 2:
            machines.lose_one()

    with ray_cluster(machines.address) as engine:
        remote.search(engine)  # both have workers
        remote.search(engine, lose_one_soon)
    assert sum(done) == remote.rows.count


def test_no_cluster_is_one_message(skipfill: Skipfill, large: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        began = time.monotonic()
        given = ("--items", items(large)[0], "--engine", "ray", "--address", address)
        said = skipfill("search", "large", "--vectors", "gallery.parquet", *given[2:], expect=2).err
    assert time.monotonic() - began < 20
    assert f"--address {address}: expected a Ray cluster, found Connection refused" in " ".join(said.split())
    assert "ray start --head" in said


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadInput, match="address nonsense: expected a Ray cluster"), ray_cluster("nonsense"):
        pass
