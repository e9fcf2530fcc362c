"""Real stores, real Parquet, real (small) trainings: nothing is mocked."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.durations import Recorder, arrange, measured
from tests.eighty_columns import assert_wraps
from tests.json_documents import validate_configuration, validate_output
from tests.warm import Started, begin_server, start, trial_in_fork

# Models are small here: threads would only wait for each other. Before torch is loaded, and for what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In memory, where there is such a disk: the order of calls is tested, not the speed of fsync.
MEMORY_DISK, ENOUGH = "/dev/shm", 4 << 30
if "TMPDIR" not in os.environ and os.access(MEMORY_DISK, os.W_OK) and shutil.disk_usage(MEMORY_DISK).free > ENOUGH:
    os.environ["TMPDIR"] = tempfile.tempdir = MEMORY_DISK

CLASSES, PER_CLASS, FEATURES = 12, 48, 16


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help="keep the seconds of each test for later runs")


def pytest_configure(config: pytest.Config) -> None:
    """Start the server of tests/warm.py, once for all workers."""
    if hasattr(config, "workerinput"):
        return
    if config.getoption("record_durations"):
        config.pluginmanager.register(Recorder())
    if hasattr(os, "pidfd_open"):
        folder = Path(tempfile.mkdtemp(prefix="skipfill-tests-"))
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        config.add_cleanup(begin_server(folder))


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    arrange(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with measured(item):
        return (yield)


@dataclass(frozen=True)
class Result:
    """The outcome of a command: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Skipfill = Callable[..., Result]


@pytest.fixture
def warm_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process in which a bundle is tried is a fork, see `trial_in_fork`."""
    monkeypatch.setattr("skipfill.compat.inference.trial.run_main", trial_in_fork)


@pytest.fixture
def skipfill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], warm_trials: None
) -> Skipfill:
    """Run a command line in this process, in `tmp_path`."""
    from skipfill.cli.app import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKIPFILL_STORE", raising=False)

    def call(*arguments: object, expect: int | None = 0) -> Result:
        capfd.readouterr()
        words = [str(one) for one in arguments]
        code = run(words)
        out, err = capfd.readouterr()
        assert expect is None or code == expect, f"exit {code}, expected {expect}\n{out}\n{err}"
        for line in err.splitlines():
            if line.startswith("error: "):
                assert_wraps(line)
        validate_output(words, out)
        if code == 0:
            validate_configuration(words, Path("skipfill.toml"))
        return Result(code, out, err)

    return call


COMMAND = "from skipfill.cli.__main__ import main; main()"


def spawn(*arguments: object, cwd: Path, under: Sequence[str] = (), stdout: int | IO[str] = subprocess.PIPE) -> Started:
    """The same in a process of its own, to be killed or raced; or started as usual, followed by the program `under`."""
    words = [str(one) for one in arguments]
    environment = {key: value for key, value in os.environ.items() if key != "SKIPFILL_STORE"}
    if not under:
        return start(COMMAND, words, cwd=cwd, environment=environment, stdout=stdout)
    return subprocess.Popen(
        [*under, sys.executable, "-c", COMMAND, *words],
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def kill_after(running: Started, path: Path) -> None:
    """Kill a process as soon as it has written the file `path`."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.kill()
    running.communicate()
    assert path.exists()


def write_vectors(
    path: Path,
    vectors: np.ndarray,
    ids: Any = None,
    labels: Any = None,
    names: tuple[str, str, str] = ("id", "vector", "label"),
) -> Path:
    """A Parquet file of vectors as users have it."""
    columns: dict[str, Any] = {
        names[0]: pa.array(ids if ids is not None else [f"r{i:05d}" for i in range(len(vectors))])
    }
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    columns[names[1]] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    if labels is not None:
        columns[names[2]] = pa.array(labels)
    pq.write_table(pa.table(columns), path)
    return path


@dataclass(frozen=True)
class World:
    """Feature items of 12 classes: the old model knows the first 5, the new one the first 9.

    Attributes:
        old_items, items: what the two are trained on.
        gallery_items: items of all classes in the gallery; unlabelled: a quarter of them.
        heldout: other items of all classes; known: those of the new model's classes, which it surely serves better.
    """

    folder: Path
    old_items: Path
    items: Path
    gallery_items: Path
    heldout: Path
    known: Path
    unlabelled: Path

    @classmethod
    def at(cls, folder: Path) -> World:
        """The world whose files lie in `folder`."""
        return cls(folder, *(folder / f"{field.name}.parquet" for field in fields(cls)[1:]))


def write_world(folder: Path, seed: int = 0) -> World:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(CLASSES, FEATURES))
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    vectors = centres[labels] + 1.1 * random.normal(size=(len(labels), FEATURES))
    ids = np.array([f"i{i:04d}" for i in range(len(labels))])
    names = np.array([f"class-{label:02d}" for label in labels])
    turn = np.arange(len(labels)) % PER_CLASS

    def write(path: Path, mask: np.ndarray, *, labelled: bool = True) -> None:
        write_vectors(path, vectors[mask], ids[mask], names[mask] if labelled else None)

    first, world = turn < 32, World.at(folder)
    write(world.old_items, first & (labels < 5))
    write(world.items, (turn < 24) & (labels < 9))
    write(world.gallery_items, first)
    write(world.heldout, ~first)
    write(world.known, ~first & (labels < 9))
    write(world.unlabelled, first & (turn % 4 == 0), labelled=False)
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_world(tmp_path)


def run_in(folder: Path, *commands: Sequence[object]) -> None:
    """Run command lines in this process, in `folder`, for a store that several tests get a copy of."""
    from skipfill.cli.app import run

    with chdir(folder), pytest.MonkeyPatch.context() as environment:
        environment.delenv("SKIPFILL_STORE", raising=False)
        for command in commands:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as told:
                code = run([str(word) for word in command])
            assert code == 0, f"{command}: {told.getvalue()}"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one worker of this run fills, while others that need it wait."""
    shared = factory.getbasetemp() if "PYTEST_XDIST_WORKER" not in os.environ else factory.getbasetemp().parent
    folder, lock = shared / name, shared / f"{name}.lock"
    with lock.open("w") as held:
        flock(held, LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=shared) as scratch:
                making = Path(scratch, name)
                making.mkdir()
                make(making)
                making.rename(folder)
    return folder


@pytest.fixture(scope="session")
def registered_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each test's `registered` is a copy of."""
    return made_once(tmp_path_factory, "registered", _make_registered)


def _make_registered(folder: Path) -> None:
    world = write_world(folder)
    run_in(
        world.folder,
        ["init"],
        ["train", "v1", "--items", world.old_items, "--dim", 8, "--epochs", 20, "--batch", 32],
        ["encode", "v1", world.gallery_items, "-o", "gallery.parquet"],
        ["gallery", "add", "things", "gallery.parquet", "--space", "v1"],
    )


@pytest.fixture
def registered(skipfill: Skipfill, registered_folder: Path, tmp_path: Path) -> World:
    """A store with the old model v1 and its gallery `things`."""
    shutil.copytree(registered_folder, tmp_path, dirs_exist_ok=True)
    return World.at(tmp_path)


@pytest.fixture(scope="session")
def with_v2_folder(registered_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each test's `with_v2` is a copy of."""

    def make(folder: Path) -> None:
        world = World.at(folder)
        shutil.copytree(registered_folder, folder, dirs_exist_ok=True)
        align = ["--align", world.unlabelled, "--epochs", 60]
        run_in(folder, ["train", "v2", "--items", world.items, "--gallery", "things", *align])

    return made_once(tmp_path_factory, "with_v2", make)


@pytest.fixture
def with_v2(skipfill: Skipfill, with_v2_folder: Path, tmp_path: Path) -> World:
    """A store with v1, its gallery `things`, and v2, trained against the gallery so well that it passes a check."""
    shutil.copytree(with_v2_folder, tmp_path, dirs_exist_ok=True)
    return World.at(tmp_path)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an S3-compatible server."""
    from tests.programs.object_storage import s3_server

    with s3_server() as address:
        yield address


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place on the server, which the environment describes."""
    from tests.programs.object_storage import KEY, SECRET, make_bucket

    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ENDPOINT_URL": server,
        "AWS_TIMEOUT": "20s",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid4().hex[:8]}"
    make_bucket(server, bucket)
    return f"s3://{bucket}/team/store"


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Tensors are float64, and drawn alike in every test."""
    import torch

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, to show that nothing was written."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
