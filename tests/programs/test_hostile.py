"""Hostile input is refused in one line: no traceback, no file outside the store, no code, no memory without end."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import write_vectors
from tests.programs.hostile import TARGETS, Sample, everything, fuzz, make_sample
from tests.warm import run


@pytest.mark.parametrize("name", TARGETS)
def test_what_hypothesis_makes_up_is_refused_properly(tmp_path: Path, name: str) -> None:
    fuzz(TARGETS[name], make_sample(tmp_path), examples=8)


def bundle(sample: Sample, file: str, content: bytes) -> None:
    """Put `content` into the bundle of v1 as its `file`, under its right hash, as a forger would."""
    folder = sample.store / "models" / "v1"
    card = json.loads((folder / "card.json").read_bytes())
    stem, suffix = file.rsplit(".", 1)
    card["files"][file] = hashlib.sha256(content).hexdigest()
    (folder / f"{stem}-{card['files'][file][:12]}.{suffix}").write_bytes(content)
    (folder / "card.json").write_text(json.dumps(card))


def forge(sample: Sample, **changed: object) -> None:
    path = sample.store / "models" / "v1" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changed}))


class Evil:
    """Code that a pickle would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch executed",)


def network(sample: Sample, **head: object) -> dict[str, object]:
    card = json.loads((sample.store / "models" / "v1" / "card.json").read_bytes())
    return {**card["network"], "head": {**card["network"]["head"], **head}}


def claiming(data: bytes, rows: int) -> bytes:
    """A Parquet file whose footer claims 10^9 rows instead of `rows`, in all its row groups and columns."""
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    told = footer.replace(varint(rows), varint(10**9))
    assert told != footer
    return data[: -8 - length] + told + len(told).to_bytes(4, "little") + b"PAR1"


def varint(number: int) -> bytes:
    """An i64 as Thrift's compact protocol writes it."""
    left, made = 2 * number, b""
    while left >= 0x80:
        made, left = made + bytes([left & 0x7F | 0x80]), left >> 7
    return made + bytes([left])


def a_billion_rows(sample: Sample, name: str) -> None:
    count = 12_345
    vectors = np.random.default_rng(0).normal(size=(count, 8))
    write_vectors(sample.folder / name, vectors, [f"a{i}" for i in range(count)], ["class-0"] * count)
    (sample.folder / name).write_bytes(claiming((sample.folder / name).read_bytes(), count))


def a_bundle_of_a_billion_rows(sample: Sample, file: str) -> None:
    count = 12_345
    path = write_vectors(sample.folder / "forged.parquet", np.ones((count, 8)), [f"a{i}" for i in range(count)])
    bundle(sample, file, claiming(path.read_bytes(), count))


EXECUTED = {"factory": "os:system", "takes": "vector", "arguments": {"command": "touch executed"}}
ENCODE = ("encode", "v1", "few.parquet", "-o", "out.parquet")
CHECK = ("check", "things", "v1", "--items", "few.parquet")
FORGED: dict[str, tuple[Callable[[Sample], object], tuple[str, ...], str]] = {
    "a pickle for weights": (
        lambda one: bundle(one, "weights.safetensors", pickle.dumps(Evil())),
        ENCODE,
        "expected weights as safetensors",
    ),
    "a pickle in torch's format": (
        lambda one: bundle(one, "weights.safetensors", torch_file()),
        ENCODE,
        "expected weights as safetensors",
    ),
    "an over-long header": (
        lambda one: bundle(one, "weights.safetensors", (1 << 40).to_bytes(8, "little") + b"{}"),
        ENCODE,
        "found a header of 1,099,511,627,776 bytes",
    ),
    "a header of a billion weights": (
        lambda one: bundle(one, "weights.safetensors", header(10**9)),
        ENCODE,
        "expected a network that its weights fit",
    ),
    "a network of a trillion weights": (
        lambda one: forge(one, network=network(one, dim=10**12)),
        ENCODE,
        "head, dim: expected a whole number from 1 to 65536",
    ),
    "a hash that leaves the store": (
        lambda one: forge(one, files={"weights.safetensors": "/../../../outside/secret"}),
        ENCODE,
        "expected the SHA-256 of 'weights.safetensors'",
    ),
    "a wrong hash": (
        lambda one: (one.store / "models" / "v1").glob("weights-*").__next__().write_bytes(b"x"),
        ENCODE,
        "expected SHA-256",
    ),
    "code to run": (
        lambda one: forge(one, network={**network(one), "encoder": {"kind": "python", "settings": EXECUTED}}),
        ENCODE,
        "expected permission to run os:system",
    ),
    "a name that leaves the store": (lambda one: forge(one, name="../../outside"), ENCODE, "the card of v1"),
    "a billion rows in a gallery": (
        lambda one: a_billion_rows(one, "huge.parquet"),
        ("gallery", "add", "huge", "huge.parquet", "--space", "s"),
        "expected a readable Parquet file",
    ),
    "a billion items": (
        lambda one: a_billion_rows(one, "huge.parquet"),
        ("encode", "v1", "huge.parquet", "-o", "out.parquet"),
        "expected a readable Parquet file",
    ),
    "a billion trained ids": (
        lambda one: a_bundle_of_a_billion_rows(one, "trained_ids.parquet"),
        CHECK,
        "1,000,000,000 claimed",
    ),
    "a billion witnesses": (
        lambda one: a_bundle_of_a_billion_rows(one, "witness.parquet"),
        ENCODE,
        "1,000,000,000 claimed",
    ),
}


def torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"head.weight": Evil()}, buffer)
    return buffer.getvalue()


def header(elements: int) -> bytes:
    told = json.dumps(
        {"head.weight": {"dtype": "F32", "shape": [elements], "data_offsets": [0, 4 * elements]}}
    ).encode()
    return len(told).to_bytes(8, "little") + told + b"\0" * 64


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_file_is_refused_without_memory_for_what_it_claims(tmp_path: Path, case: str) -> None:
    """In a process that may use 3 GB."""
    make, command, expected = FORGED[case]
    sample = make_sample(tmp_path)
    make(sample)
    before = everything(tmp_path)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (3 << 30,) * 2); import sys; "
        "from skipfill.cli.app import run; code = run(sys.argv[1:]); "
        # Not getrusage: its peak is that of the parent before the exec.
        "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]; "
        "print('peak', int(peak) >> 10); sys.exit(code)"
    )
    done = run(code, [*command, "--store", "store"], cwd=sample.folder, timeout=120)
    assert done.returncode == 2, done
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert int(done.stdout.split()[-1]) < 1500
    assert everything(tmp_path) == before
