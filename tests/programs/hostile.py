"""Hostile input: every target takes bytes or words that hypothesis makes up, and may only refuse them properly.

tests/programs/test_hostile.py runs each target for seconds, tests/programs/fuzz.py for as long as it is told.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import typer
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st

from skipfill.store.errors import SkipfillError
from skipfill.store.galleries.file_list import FileList
from skipfill.store.retrieval.judgements import read_judgements
from tests.programs.hostile_bundles import BUNDLES

FROZEN = Path(__file__).parents[1] / "fixtures" / "store-0.1"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, -1, 2**63, 10**30, "", "../../x", "/etc/passwd", "a\x00b", "\ud800", [], {}, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80\x80\x80\x80"]
ESCAPING = [
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "..",
    ".",
    "",
    "a\x00b",
    "a" * 300,
    "-",
    "--",
    "é",
    "\ud800",
]


@dataclass(frozen=True)
class Sample:
    """A real store in `folder/store`, beside its Parquet files.

    Attributes:
        known: names in the folder before anything was tried.
    """

    folder: Path
    known: frozenset[str]

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def files(self, pattern: str) -> list[Path]:
        return sorted(path.relative_to(self.folder) for path in self.folder.glob(pattern))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in a JSON value where something can be replaced."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


@st.composite
def edited(draw: Any, document: Any) -> bytes:
    """The JSON document with some of its values replaced, dropped, or added to."""
    value = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(value))))
        new = draw(JSON)
        if not path:
            value = new if draw(st.integers(0, 9)) == 0 else value
            continue
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        act = draw(st.sampled_from(["replace", "drop", "add"]))
        if act == "replace":
            holder[path[-1]] = new
        elif act == "drop":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=5))] = new
    return json.dumps(value).encode("utf-8", "surrogatepass")


@st.composite
def spoiled(draw: Any, data: bytes) -> bytes:
    """The bytes with some flipped, cut, doubled or inserted; mostly near the end, where Parquet has its footer."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        last = len(changed)
        low = 0 if draw(st.booleans()) else max(0, last - 600)
        at = draw(st.integers(low, max(low, last - 1)))
        act = draw(st.sampled_from(["set", "cut", "insert", "drop", "number"]))
        if act == "set":
            changed[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif act == "cut":
            del changed[at:]
        elif act == "insert":
            changed[at:at] = draw(st.binary(max_size=9))
        elif act == "drop":
            del changed[at : at + draw(st.integers(1, 8))]
        else:
            changed[at : at + 4] = draw(
                st.sampled_from([b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80\x80\x80\x80"])
            )
    return bytes(changed)


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    """The file holds `data` for a while."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


def proper(arguments: list[str]) -> None:
    """Run a command in this process: it may refuse, in one line. Anything else it raises is a defect."""
    from skipfill.cli.app import run

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    assert code in (0, 1, 2, 3, 4), (code, arguments)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    assert len(err.getvalue()) < 20_000, err.getvalue()[:300]


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below, with its size and when it changed."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


LOOK = [["status"], ["history", "things"], ["gallery", "list"], ["gallery", "show", "things"], ["model", "list"]]
FORMS = [[], ["--github"], ["--junit", "hostile.xml"], ["--html", "hostile.html"], ["--json"]]
REPORT = [["report", "things", path.name, *form] for path in FROZEN.glob("store/checks/things/*") for form in FORMS]
DEEP = ["gallery", "verify", "things", "--deep"]
DRY = [
    ["swap", "things", "v2", "--dry-run"],
    ["swap", "things", "v2", "--dry-run", "--without-check", "x"],
    ["rollback", "things", "--dry-run"],
    ["plan", "things", "v2", "--json"],
]
SEARCH = [["search", "things", "--items", "few.parquet", "-k", "2", "--json"]]
NEAR = [["search", "things", "--vectors", "gallery.parquet", "-k", "2", "--json"]]


def _json_target(pattern: str, commands: list[list[str]]) -> Target:
    """Commands that read a JSON file of the store, on variations of it."""

    def target(sample: Sample, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sample.files(pattern)))
        real = (sample.folder / path).read_bytes()
        made = data.draw(edited(json.loads(real)) | spoiled(real), label=str(path))
        for left in sample.folder.glob("hostile.*ml"):
            left.unlink()
        with replaced(sample.folder / path, made):
            proper(data.draw(st.sampled_from(commands)))

    return target


def _files(sample: Sample, data: st.DataObject) -> None:
    """File lists under their right digest."""
    from skipfill.store.galleries.file_list import read_files
    from skipfill.store.galleries.log import latest
    from skipfill.store.storage.location import open_store

    now = latest(open_store(sample.store), "things")
    listed = read_files(open_store(sample.store), "things", now)
    document = data.draw(st.sampled_from([[asdict(one) for one in listed], asdict(FileList(listed))]))
    made = data.draw(edited(document))
    digest = hashlib.sha256(made).hexdigest()
    target = sample.store / "galleries" / "things" / "files" / f"{digest}.json"
    version = sample.store / "galleries" / "things" / "versions" / f"{now.number:010d}.json"
    assume(not target.exists())
    target.write_bytes(made)
    try:
        with replaced(version, json.dumps(asdict(replace(now, files=digest))).encode()):
            proper(
                data.draw(
                    st.sampled_from([["gallery", "show", "things"], ["gallery", "verify", "things", "--deep"], *NEAR])
                )
            )
    finally:
        target.unlink()


def _bundle(file: str) -> Target:
    """A file of a bundle from elsewhere, under its right hash."""

    def target(sample: Sample, data: st.DataObject) -> None:
        folder = sample.store / "models" / "v1"
        card = json.loads((folder / "card.json").read_bytes())
        stem, suffix = file.rsplit(".", 1)
        real = (folder / f"{stem}-{card['files'][file][:12]}.{suffix}").read_bytes()
        made = data.draw(spoiled(real) | st.binary(max_size=64) | st.just(pickle.dumps({"weights": [1.0]})))
        card["files"][file] = hashlib.sha256(made).hexdigest()
        path = folder / f"{stem}-{card['files'][file][:12]}.{suffix}"
        assume(not path.exists())
        path.write_bytes(made)
        try:
            with replaced(folder / "card.json", json.dumps(card).encode()):
                proper(["encode", "v1", "few.parquet", "-o", "never.parquet"])
                proper(
                    ["check", "things", "v1", "--items", "few.parquet"] if file.startswith("trained") else ["status"]
                )
        finally:
            path.unlink()
            (sample.folder / "never.parquet").unlink(missing_ok=True)

    return target


def _parquet(sample: Sample, data: st.DataObject) -> None:
    """Galleries and items with changed bytes."""
    name = data.draw(st.sampled_from(["gallery", "few", "plain"]))
    made = data.draw(spoiled((sample.folder / f"{name}.parquet").read_bytes()))
    (sample.folder / "hostile.parquet").write_bytes(made)
    proper(["gallery", "add", "other", "hostile.parquet", "--space", "external", "--dry-run"])
    proper(["encode", "v1", "hostile.parquet", "-o", "never.parquet"])
    (sample.folder / "never.parquet").unlink(missing_ok=True)


def _registered(sample: Sample, data: st.DataObject) -> None:
    """A registered file that changed."""
    path = sample.folder / "gallery.parquet"
    with replaced(path, data.draw(spoiled(path.read_bytes()))):
        proper(data.draw(st.sampled_from([DEEP, *SEARCH])))


def _judgements(sample: Sample, data: st.DataObject) -> None:
    text = b"i020 0 i019 1\ni021\t0\ti018\t2\n"
    made = data.draw(
        spoiled(text) | st.binary(max_size=60) | st.text(max_size=60).map(lambda one: one.encode("utf-8", "replace"))
    )
    suffix = data.draw(st.sampled_from(["qrels", "tsv", "parquet"]))
    path = sample.folder / f"hostile.{suffix}"
    path.write_bytes(made)
    with suppress(SkipfillError):
        read_judgements(path, pa.array(["i020", "i021"]), pa.string())


def _configuration(sample: Sample, data: st.DataObject) -> None:
    text = b'[check]\nmetric = "mAP"\nmargin = 0.1\n[set.mlp]\nhidden = 16\n[gallery.add]\nid = "id"\n'
    path = sample.folder / "hostile.toml"
    path.write_bytes(data.draw(spoiled(text) | st.binary(max_size=80)))
    proper(["--config", "hostile.toml", "status"])


def _plan(sample: Sample, data: st.DataObject) -> None:
    real = (sample.folder / "plan.json").read_bytes()
    (sample.folder / "hostile.json").write_bytes(data.draw(edited(json.loads(real)) | spoiled(real)))
    proper(["swap", "things", "--plan", "hostile.json", "--dry-run"])


def _checkpoint(sample: Sample, data: st.DataObject) -> None:
    """Bytes in place of the checkpoint of an unfinished training, and metadata in it."""
    import torch

    from skipfill.compat.training.loop.checkpoint import Checkpoints, State
    from skipfill.compat.training.loop.epoch_log import Epoch
    from skipfill.store.storage.location import open_store

    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    objects = open_store(sample.store)
    kept = Checkpoints(objects, "training/x.safetensors", "recipe")
    epoch = Epoch(1, 1, 0.1, {"a": 1.0}, {}, 1.0, 1.0)
    kept.save([epoch], {}, model, optimizer, decay)
    path = sample.store / "training" / "x.safetensors"
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    if data.draw(st.booleans()):
        made = data.draw(spoiled(path.read_bytes()))
    else:
        meta = data.draw(edited(asdict(State([epoch], "recipe", 1)))).decode("utf-8", "replace")
        tensors |= {data.draw(st.text(max_size=8)): torch.zeros(1)} if data.draw(st.booleans()) else {}
        made = safetensors.torch.save(tensors, metadata={"checkpoint": meta})
    path.write_bytes(made)
    try:
        kept.epochs_done()
        kept.resume(model, optimizer, decay)
    except SkipfillError:
        pass
    finally:
        shutil.rmtree(path.parent)


def _names(sample: Sample, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ESCAPING) | st.text(max_size=70))
    commands = [
        ["gallery", "show", name],
        ["gallery", "add", name, "gallery.parquet", "--space", "v1", "--dry-run"],
        ["gallery", "add", "free", "gallery.parquet", "--space", name, "--dry-run"],
        ["model", "show", name],
        ["history", name],
        ["swap", "things", name, "--dry-run"],
        ["swap", name, "v2", "--dry-run"],
        ["rollback", name, "--dry-run"],
        ["report", "things", name],
        ["search", name, "--vectors", "few.parquet"],
        ["encode", name, "few.parquet", "-o", "never.parquet"],
        ["status", "--store", name],
    ]
    proper(data.draw(st.sampled_from(commands)))


def _words() -> list[str]:
    from skipfill.cli.app import app

    found: set[str] = set()

    def collect(group: Any) -> None:
        for name, command in group.commands.items():
            found.add(name)
            if hasattr(command, "commands"):
                collect(command)
            else:
                found.update(option for one in command.params for option in one.opts if option.startswith("-"))

    collect(typer.main.get_command(app))
    # What writes, trains for long, or draws is fuzzed by its inputs above.
    return sorted(
        found - {"init", "demo", "train", "blend", "-o", "--output", "--junit", "--html", "--log", "--folder"}
    )


def _arguments(sample: Sample, data: st.DataObject) -> None:
    real = ["things", "v1", "v2", "few.parquet", "gallery.parquet", "plan.json", ".", "0", "-1", "1e99", "nan", "mAP"]
    word = st.sampled_from(_words()) | st.sampled_from(real) | st.sampled_from(ESCAPING) | st.text(max_size=10)
    words = data.draw(st.lists(word, min_size=1, max_size=7))
    if "swap" in words or "rollback" in words or "append" in words or "add" in words:
        words.append("--dry-run")
    proper(words)


Target = Callable[[Sample, st.DataObject], None]
VERSIONS = "store/galleries/things/versions/*.json"
TARGETS: dict[str, Target] = {
    "the store's marker": _json_target("store/store.json", LOOK[:1]),
    "version files": _json_target(VERSIONS, [*LOOK, *DRY, *NEAR]),
    "spaces": _json_target("store/spaces/*.json", [*LOOK, *NEAR]),
    "cards": _json_target("store/models/v2/card.json", [*LOOK, ["model", "show", "v2"], *DRY]),
    "cards of models that encode": _json_target("store/models/v1/card.json", [["model", "show", "v1"], *SEARCH]),
    "reports": _json_target("store/checks/things/*/report.json", [*DRY, *REPORT]),
    "file lists": _files,
    "plans": _plan,
    "checkpoints": _checkpoint,
    "weights": _bundle("weights.safetensors"),
    "witnesses": _bundle("witness.parquet"),
    "trained ids": _bundle("trained_ids.parquet"),
    "Parquet files": _parquet,
    "registered files": _registered,
    "judgements": _judgements,
    "configuration": _configuration,
    "names": _names,
    "arguments": _arguments,
    **BUNDLES,
}


def fuzz(target: Target, sample: Sample, *, examples: int, seed: int | None = None) -> None:
    """Try a target; nothing outside the store is touched. Without a seed it tries the same each time.

    Raises:
        Exception: what the smallest input raised that was not refused in the proper way.
    """

    phases = (Phase.generate, Phase.shrink) if seed is not None else (Phase.generate,)
    run = settings(QUIET, max_examples=examples, derandomize=seed is None, phases=phases)(test_of(target, sample))
    with guarded(sample):
        (run if seed is None else with_seed(seed)(run))()


QUIET = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def test_of(target: Target, sample: Sample) -> Callable[[], None]:
    """The target as a test of hypothesis, without settings."""

    @given(st.data())
    def run(data: st.DataObject) -> None:
        target(sample, data)

    run.__test__ = False
    return run


@contextmanager
def guarded(sample: Sample) -> Iterator[None]:
    """Inside the sample; afterwards nothing has changed outside of its store."""
    outside = everything(sample.folder.parent / "outside")
    with chdir(sample.folder), patched():
        yield
    assert everything(sample.folder.parent / "outside") == outside
    left = {path.name for path in sample.folder.iterdir()} - sample.known
    assert not {name for name in left if not name.startswith("hostile.")}, left


@contextmanager
def patched() -> Iterator[None]:
    """Name the store in the environment, and let nothing be written for GitHub."""
    names = {"SKIPFILL_STORE": "store", "GITHUB_STEP_SUMMARY": None}
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["SKIPFILL_STORE"] = "store"
    try:
        yield
    finally:
        del os.environ["SKIPFILL_STORE"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def make_sample(folder: Path) -> Sample:
    """A copy of the frozen store with what the targets use, inside a folder that nothing may leave."""
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "secret.json").write_text("{}")
    shutil.copytree(FROZEN, folder / "work")
    for path in (folder / "work" / "store" / "models").glob("*/card.json"):
        # A forger leaves out the hash of a card, as old cards do; left in, it would refuse every change.
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "digest": ""}))
    table = pq.read_table(folder / "work" / "heldout.parquet").slice(0, 6)
    pq.write_table(table, folder / "work" / "few.parquet")
    pq.write_table(table, folder / "work" / "plain.parquet", compression="none", use_dictionary=False)
    return Sample(folder / "work", frozenset(path.name for path in (folder / "work").iterdir()))
