"""A model that travels as one file: the same bytes, nothing visible half, and nothing hostile gets in."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.witness import witness_file
from skipfill.compat.inference.witness_items import fixed_vectors
from skipfill.store.errors import BadInput
from skipfill.store.models.archive import packed
from skipfill.store.models.cards import LOG, TRAINED_CONTENT, TRAINED_IDS, WEIGHTS, WITNESS, Card, file_key, load_card
from skipfill.store.models.files import read_file, save_model
from skipfill.store.models.transfer import MANIFEST, add_bundle, export_bundle
from skipfill.store.spaces import Space, View, load_space, register_space
from skipfill.store.storage.layout import card_key
from skipfill.store.storage.location import init_store, open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.compat.encoders.samples import bert
from tests.compat.inference.bundles import texts
from tests.conftest import Skipfill, World, spawn, tree
from tests.store.system_calls import follows_calls, killed_at

STORE, OTHER = Path(".skipfill"), Path("other")
SMALL: dict[str, Any] = {
    "encoder": {"kind": "mlp", "settings": {"inputs": 2, "hidden": 3, "dropout": 0.0}},
    "method": "l2",
    "head": {"features": 5, "dim": 8},
    "classifier": None,
    "old": None,
    "old_dim": 0,
}
OLD = Space("old", 4, "cosine", "", ["a", "b"], {"a": 1, "b": 0})


def one_of(folder: Path, name: str = "v2", value: float = 0.5) -> ObjectStore:
    """A store with one small model that has a view onto a space known only by its vectors."""
    objects = init_store(folder)
    register_space(objects, OLD)
    views = {name: View(8), "old": View(4)}
    card = Card(name, "l2", SMALL, 8, views, ["a"], ["a"], 1, {}, {}, {}, "")
    network = Network.build(SMALL, lambda file: b"")
    for weight in network.parameters():
        torch.nn.init.constant_(weight, value)
    weights = network.weights()
    witness = witness_file(LoadedModel(card, network.eval()), fixed_vectors(2), weights)
    save_model(objects, card, weights, pa.array(["x"]), {LOG: b'{"epoch": 1}\n', **witness})
    return objects


def untried(path: Path, card: Card) -> None:
    """The trial of bundles that are not hostile."""


def parquet(columns: list[str], rows: int = 1) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array([7] * rows) for name in columns}), buffer, compression="zstd")
    return buffer.getvalue()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    export_bundle(one_of(tmp_path / "store"), "v2", tmp_path / "v2.skipfill")
    return tmp_path / "v2.skipfill"


# What travels


def test_an_upgrade_goes_on_in_another_store(skipfill: Skipfill, with_v2: World) -> None:
    """Train in one store; check, swap and search in another that has the gallery and never saw the training."""
    for name in ("v1", "v2"):
        skipfill("model", "export", name, "-o", f"{name}.skipfill")
    skipfill("init", "--store", OTHER)
    other = ["--store", OTHER]
    skipfill("model", "add", "v2.skipfill", *other)
    skipfill("model", "add", "v1.skipfill", *other)
    for name in ("v1", "v2"):
        assert tree(STORE / "models" / name) == tree(OTHER / "models" / name)
        skipfill("model", "export", name, "-o", f"{name}-again.skipfill", *other)
        assert Path(f"{name}.skipfill").read_bytes() == Path(f"{name}-again.skipfill").read_bytes()
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "v1", *other)
    check = ["check", "things", "v2", "--items", with_v2.known, "--accept-worse", "unseen", "--json"]
    here, there = (skipfill(*check, *where, expect=None).document["check"] for where in ([], other))
    assert here["slices"] == there["slices"]
    skipfill("swap", "things", "v2", "--without-check", "small", *other)
    assert skipfill("search", "things", "--items", with_v2.heldout, "--json", *other).document["model"] == "v2"


def test_an_added_model_says_what_a_check_needs_without_the_old_encoder(skipfill: Skipfill, with_v2: World) -> None:
    for name in ("v1", "v2"):
        skipfill("model", "export", name, "-o", f"{name}.skipfill")
        shutil.rmtree(STORE / "models" / name)
    check = "skipfill check things v2 --items HELDOUT.parquet"
    told = skipfill("model", "add", "v2.skipfill").err
    assert f"Next: {check}\n" in told
    needed = "v1 is not a model in this store. If the items are not rows of things, give its vectors of them: "
    assert f"{needed}{check} --gallery-items GALLERY_ITEMS.parquet --old-vector COLUMN\n" in told
    skipfill("model", "add", "v1.skipfill")
    assert "--old-vector" not in skipfill("model", "add", "v2.skipfill").err


def test_the_file_is_a_plain_tar_with_the_card_first(bundle: Path) -> None:
    with tarfile.open(bundle, "r:") as archive:
        names = archive.getnames()
        first = json.loads(archive.extractfile(MANIFEST).read())  # type: ignore[union-attr]
    assert names == [MANIFEST, *sorted(first["card"]["files"])]
    assert set(names) == {MANIFEST, WEIGHTS, TRAINED_IDS, LOG, WITNESS}
    assert [one["name"] for one in first["spaces"]] == ["old"]


def test_the_same_bytes_each_time(bundle: Path, tmp_path: Path) -> None:
    objects = open_store(tmp_path / "store")
    export_bundle(objects, "v2", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()
    with pytest.raises(BadInput, match="expected a file that does not exist yet"):
        export_bundle(objects, "v2", bundle)


def test_the_spaces_of_its_views_come_along(bundle: Path, tmp_path: Path) -> None:
    """With all that is known of them: a later model is trained against a gallery of them, without their model."""
    objects = init_store(tmp_path / "other")
    added = add_bundle(objects, bundle, trial=untried)
    assert added.new
    assert load_space(objects, "old") == OLD
    assert load_card(objects, "v2") == load_card(open_store(tmp_path / "store"), "v2")


def test_added_twice_is_added_once(bundle: Path, tmp_path: Path) -> None:
    objects = init_store(tmp_path / "other")
    add_bundle(objects, bundle, trial=untried)
    before = tree(tmp_path / "other")
    assert not add_bundle(objects, bundle, trial=untried).new
    assert not add_bundle(open_store(tmp_path / "store"), bundle, trial=untried).new  # where it comes from
    assert tree(tmp_path / "other") == before


def test_another_model_of_its_name_is_refused(bundle: Path, tmp_path: Path) -> None:
    objects = one_of(tmp_path / "other", value=0.6)
    before = tree(tmp_path / "other")
    with pytest.raises(BadInput, match="found a model or a space of this name"):
        add_bundle(objects, bundle, trial=untried)
    assert tree(tmp_path / "other") == before
    added = add_bundle(objects, bundle, "v3", trial=untried).manifest.card
    assert (added.name, added.space.name, added.views) == ("v3", "v3", {"v3": View(8), "old": View(4)})
    assert load_card(objects, "v3").fingerprint == load_card(open_store(tmp_path / "store"), "v2").fingerprint
    weights = [read_file(objects, load_card(objects, name), WEIGHTS) for name in ("v2", "v3")]
    assert weights[0] != weights[1]


def test_a_name_that_is_another_space_here_is_refused(bundle: Path, tmp_path: Path) -> None:
    """A view is onto a space, and a name alone does not say which one that is."""
    by_files, by_a_model, as_itself = (init_store(tmp_path / name) for name in ("one", "two", "three"))
    register_space(by_files, Space("old", 4, "ip"))
    save_model(by_a_model, Card("old", "x", {}, 4, {"old": View(4)}, [], [], 0, {}, {}, {}, ""), b"", pa.array(["x"]))
    register_space(as_itself, Space("v2", 8))
    for objects, found in ((by_files, "metric ip"), (by_a_model, "dim 4"), (as_itself, "external")):
        before = tree(objects.root)
        with pytest.raises(BadInput, match=f"space (old|v2): expected .*{found}"):
            add_bundle(objects, bundle, trial=untried)
        assert tree(objects.root) == before
    with pytest.raises(BadInput, match="expected a name that no space of the bundle has, found 'old'"):
        add_bundle(as_itself, bundle, "old", trial=untried)


def test_a_dry_run_verifies_and_writes_nothing(skipfill: Skipfill, bundle: Path) -> None:
    skipfill("init")
    before = tree(STORE)
    assert "Would add v2" in skipfill("model", "add", bundle, "--dry-run").out
    assert tree(STORE) == before
    found = skipfill("model", "add", bundle, "--json")
    assert found.document["new"]
    assert "old is known only by its vectors" in found.document["notes"][0]


def test_code_is_recorded_and_not_run(skipfill: Skipfill, world: World, tmp_path: Path) -> None:
    Path("trap_of_a_bundle.py").write_text(
        "import pathlib, torch\npathlib.Path('ran').touch()\n"
        "def net(): return torch.nn.Sequential(torch.nn.Linear(16, 4))\n"
    )
    skipfill("init")
    skipfill(
        "train", "v1", "--items", world.items, "--encoder", "python:trap_of_a_bundle:net", "--epochs", 1, "--quiet"
    )
    skipfill("model", "export", "v1", "-o", "v1.skipfill")
    Path("ran").unlink()
    skipfill("init", "--store", OTHER)
    found = spawn("model", "add", "v1.skipfill", "--store", OTHER, cwd=tmp_path)
    assert "code that is not in the bundle" in found.communicate(timeout=60)[1]
    refused = spawn("encode", "v1", world.items, "-o", "x.parquet", "--store", OTHER, cwd=tmp_path)
    assert "expected permission to run trap_of_a_bundle:net" in refused.communicate(timeout=60)[1]
    assert (found.returncode, refused.returncode) == (0, 2)
    assert not Path("ran").exists()


ADD = """
import sys
from pathlib import Path
from skipfill.store.models.transfer import add_bundle
from skipfill.store.storage.location import open_store
add_bundle(open_store(Path(sys.argv[1])), Path(sys.argv[2]), trial=lambda path, card: None)
"""


@follows_calls
def test_killed_at_any_call_there_is_no_model_or_the_whole(bundle: Path, tmp_path: Path) -> None:
    seen = set()
    for n in range(1, 99, 4):
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        objects = init_store(tmp_path / "other")
        code = killed_at(n, ADD, [tmp_path / "other", bundle], tmp_path)
        there = (tmp_path / "other" / card_key("v2")).exists()
        seen.add((code == 0, there))
        if there:
            for file in load_card(objects, "v2").files:
                read_file(objects, load_card(objects, "v2"), file)
        add_bundle(objects, bundle, trial=untried)
        assert tree(tmp_path / "other" / "models").keys() >= {"v2/card.json"}
        if code == 0:
            break
    assert {(False, False), (True, True)} <= seen


# What is refused


@dataclass
class Parts:
    """The parts of a bundle, to be changed; `manifest` is signed again, as a careful forger would do."""

    manifest: dict[str, Any]
    files: dict[str, bytes]

    def put(self, name: str, data: bytes) -> None:
        self.files[name] = data
        self.manifest["card"]["digest"] = ""
        self.manifest["card"]["files"][name] = hashlib.sha256(data).hexdigest()

    def drop(self, name: str) -> None:
        self.manifest["card"]["digest"] = ""
        del self.files[name], self.manifest["card"]["files"][name]

    def sealed(self, digest: str = "") -> bytes:
        content = {key: value for key, value in self.manifest.items() if key != "digest"}
        made = digest or hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        first = json.dumps({**content, "digest": made}).encode()
        return b"".join(packed([(MANIFEST, first), *sorted(self.files.items())]))


def parts(bundle: Path) -> Parts:
    with tarfile.open(bundle, "r:") as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    return Parts(json.loads(files.pop(MANIFEST)), files)


def seen(dim: int) -> dict[str, Any]:
    return {"dim": dim, "kind": "prefix"}


def entry(name: str, data: bytes = b"", **changed: Any) -> bytes:
    """A tar entry of any kind, as it stands in a file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in changed.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def first_entry(parts: Parts) -> bytes:
    return Parts(parts.manifest, {}).sealed()[: -2 * 512]


def rest(parts: Parts, *left_out: str) -> bytes:
    return b"".join(packed((name, data) for name, data in sorted(parts.files.items()) if name not in left_out))


def forged(change: Callable[[Parts], None]) -> Callable[[Parts], bytes]:
    def made(parts: Parts) -> bytes:
        change(parts)
        return parts.sealed()

    return made


def carded(**changed: Any) -> Callable[[Parts], bytes]:
    return forged(lambda parts: parts.manifest["card"].update(changed, digest=""))


def weights_of(header: bytes, claimed: int | None = None) -> bytes:
    return (len(header) if claimed is None else claimed).to_bytes(8, "little") + header


def many_rows() -> bytes:
    return parquet(["id"], 10_000_000)  # packed in 50 kB; ids are not alike


HUGE = json.dumps({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
HOSTILE: dict[str, tuple[Callable[[Parts], bytes], str]] = {
    "an empty file": (lambda parts: b"", "too few"),
    "a text": (lambda parts: b"not a bundle at all" * 99, "found something else"),
    "a pickle": (lambda parts: pickle.dumps({"weights": [1.0] * 999}), "found something else"),
    "a compressed tar": (lambda parts: gzip.compress(parts.sealed() * 9), "found"),
    "a path escape": (lambda parts: first_entry(parts) + entry("../../evil", b"x") + rest(parts), "found '../../evil'"),
    "an absolute name": (lambda parts: first_entry(parts) + entry("/etc/cron.d/x", b"x"), "found '/etc/cron.d/x'"),
    "an escape by the card": (forged(lambda parts: parts.put("../evil.json", b"{}")), "file name: expected"),
    "a card of a path": (carded(name="../../evil"), "model name: expected"),
    "a view onto a path": (carded(views={"v2": seen(8), "../x": seen(4)}), "space name: expected"),
    "a symbolic link": (
        lambda parts: first_entry(parts) + entry(LOG, type=tarfile.SYMTYPE, linkname="/etc/passwd") + rest(parts, LOG),
        "found a link",
    ),
    "a hard link": (
        lambda parts: first_entry(parts) + entry(LOG, type=tarfile.LNKTYPE, linkname=MANIFEST) + rest(parts, LOG),
        "found a link",
    ),
    "a device": (lambda parts: first_entry(parts) + entry(LOG, type=tarfile.CHRTYPE), "found a link, or a header"),
    "a folder": (lambda parts: first_entry(parts) + entry(LOG, type=tarfile.DIRTYPE), "found a link, or a header"),
    "an extended header": (
        lambda parts: first_entry(parts) + entry(LOG, b"17 path=../evil\n", type=tarfile.XHDTYPE),
        "found a link, or a header",
    ),
    "a long name": (lambda parts: first_entry(parts) + entry("x" * 90_000, b"x"), "expected an entry"),
    "an entry twice": (
        lambda parts: first_entry(parts) + entry(LOG, parts.files[LOG], mode=0o644) * 2 + rest(parts, LOG),
        "expected an entry trained_ids.parquet, found 'log.ndjson'",
    ),
    "an entry that nobody lists": (
        lambda parts: parts.sealed()[: -2 * 512] + entry("more.json", b"{}", mode=0o644) + bytes(1024),
        "expected the end of the bundle",
    ),
    "an entry missing": (lambda parts: first_entry(parts) + rest(parts, WITNESS), "expected witness.parquet"),
    "another order": (
        lambda parts: first_entry(parts) + b"".join(packed(sorted(parts.files.items(), reverse=True))),
        "expected an entry log.ndjson",
    ),
    "the card last": (lambda parts: rest(parts) + first_entry(parts), f"expected an entry {MANIFEST}"),
    "bytes after the end": (lambda parts: parts.sealed() + b"more", "expected the end of the bundle"),
    "cut off": (lambda parts: parts.sealed()[:-700], "too few|found"),
    "ten to the ninth bytes claimed": (
        lambda parts: first_entry(parts) + entry(LOG, size=10**9, mode=0o644),
        "found 1,000,000,000 claimed",
    ),
    "a size below zero": (lambda parts: first_entry(parts) + entry(LOG, mode=0o644, size=-512), "claimed|found"),
    "a card that claims more bytes than a card has": (
        lambda parts: entry(MANIFEST, size=10**9, mode=0o644) + bytes(10**6),
        "found 1,000,000,000 claimed",
    ),
    "thousands of entries that are not there": (
        carded(files=dict.fromkeys((WEIGHTS, TRAINED_IDS, *(f"{n}.json" for n in range(30_000))), "0" * 64)),
        "expected an entry 0.json",
    ),
    "a file of another hash": (
        forged(lambda parts: parts.files.update({LOG: b'{"epoch": 2}\n'})),
        f"{LOG}: expected SHA-256",
    ),
    "a card that was edited": (lambda parts: parts.sealed("0" * 64), "found something that was edited"),
    "pickled weights": (
        forged(lambda parts: parts.put(WEIGHTS, pickle.dumps([1.0]))),
        "expected weights as safetensors",
    ),
    "a file of pickles": (forged(lambda parts: parts.put("more.pkl", pickle.dumps(1))), "files of the kinds"),
    "a pickled tokenizer": (forged(lambda parts: parts.put("tokenizer.json", pickle.dumps(1))), "expected JSON"),
    "a pickle for ids": (forged(lambda parts: parts.put(TRAINED_IDS, pickle.dumps([1]))), "expected a Parquet file"),
    "an over-long header of weights": (
        forged(lambda parts: parts.put(WEIGHTS, weights_of(b"{}", 10**12))),
        "expected weights as safetensors",
    ),
    "weights of ten to the ninth rows": (
        forged(lambda parts: parts.put(WEIGHTS, weights_of(HUGE))),
        "expected weights as safetensors",
    ),
    "more ids than there can be": (
        forged(lambda parts: parts.put(TRAINED_IDS, many_rows())),
        "found 10,000,000 claimed",
    ),
    "no weights": (forged(lambda parts: parts.drop(WEIGHTS)), "expected a card that lists weights.safetensors"),
    "a newer format": (forged(lambda parts: parts.manifest.update(format=2)), "expected bundle format 1 or older"),
    "a newer card": (carded(format=99), "expected card format"),
    "no JSON": (lambda parts: b"".join(packed([(MANIFEST, b"\x80\x04.")])), "expected JSON"),
    "thousands of nested values": (
        lambda parts: b"".join(packed([(MANIFEST, b"[" * 99_999)])),
        "expected JSON",
    ),
    "a list for a card": (forged(lambda parts: parts.manifest.update(card=[])), "expected a JSON object"),
    "a key that nobody knows": (carded(run="os.system('x')"), "found 'run'"),
    "a dimension of text": (carded(dim="8"), "expected a whole number"),
    "a network nested deep": (carded(network=json.loads("[" * 90 + "]" * 90)), "expected a JSON object"),
    "settings nested deep": (carded(recipe={"x": json.loads("[" * 90 + "]" * 90)}), "values nested at most 64 deep"),
    "half a letter": (carded(method="\ud800"), "expected JSON"),
    "a view of more than it has": (
        carded(views={"v2": seen(8), "old": seen(10**9)}),
        "expected prefixes of no more coordinates",
    ),
    "a space that is not told of": (
        forged(lambda parts: parts.manifest.update(spaces=[])),
        "expected the spaces old, v2",
    ),
    "a space too many": (
        forged(lambda parts: parts.manifest["spaces"].append({**parts.manifest["spaces"][0], "name": "more"})),
        "expected the spaces old, v2",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_is_written(
    skipfill: Skipfill, bundle: Path, tmp_path: Path, case: str
) -> None:
    made, expected = HOSTILE[case]
    skipfill("init")
    Path("evil.skipfill").write_bytes(made(parts(bundle)))
    before = tree(tmp_path)
    found = skipfill("model", "add", "evil.skipfill", expect=2).err
    assert found.startswith("error: ")
    assert "Traceback" not in found
    assert re.search(expected, found), found
    assert tree(tmp_path) == before


def test_the_parts_make_the_bundle(bundle: Path) -> None:
    """Else the cases above would be refused for how they are made."""
    before = json.loads(parts(bundle).sealed()[512:].split(b"\0")[0])
    assert before == parts(bundle).manifest
    objects = init_store(bundle.parent / "again")
    bundle.write_bytes(parts(bundle).sealed())
    assert add_bundle(objects, bundle, trial=untried).new


@pytest.mark.parametrize("where", ["nowhere.skipfill", "."])
def test_no_file(skipfill: Skipfill, where: str) -> None:
    skipfill("init")
    refused = skipfill("model", "add", where, expect=2).err
    assert "found no such file. See which files are there: ls ." in refused


def test_any_byte_of_a_bundle_that_is_changed_is_noticed(bundle: Path, tmp_path: Path) -> None:
    """Each byte in turn, contents, names, sizes and padding alike."""
    data = bytearray(bundle.read_bytes())
    objects = init_store(tmp_path / "other")
    before = tree(tmp_path / "other")
    broken = tmp_path / "broken.skipfill"
    for at in range(0, len(data), 7):
        data[at] ^= 1
        broken.write_bytes(data)
        with pytest.raises(BadInput):
            add_bundle(objects, broken, trial=untried)
        data[at] ^= 1
    assert tree(tmp_path / "other") == before


# Verified when it is read


def test_one_byte_of_any_file_of_a_bundle(skipfill: Skipfill, tmp_path: Path) -> None:
    """A blend of two sentence encoders has every file there is."""
    skipfill("init")
    texts(tmp_path)
    skipfill("encode", "v1", "items.parquet", "-o", "g.parquet")
    skipfill("gallery", "add", "g", "g.parquet", "--space", "v1")
    encoder = ["--encoder", f"hf:{bert(tmp_path)}", "--set", "hf.frozen=true"]
    skipfill("train", "v2", "--items", "items.parquet", "--gallery", "g", "--epochs", 1, "--quiet", *encoder)
    skipfill("blend", "v3", "--new", "v2", "--old", "v1")
    objects = open_store(STORE)
    seen = set()
    for name in ("v2", "v3"):
        card = load_card(objects, name)
        for file in card.files:
            seen.add(file)
            path = STORE / file_key(card, file)
            data = path.read_bytes()
            for at in (0, len(data) // 2, len(data) - 1):
                path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
                found = [skipfill("model", "export", name, "-o", "x.skipfill", expect=2)]
                if file == LOG:
                    found.append(skipfill("model", "plot", name, "-o", "x.svg", expect=2))
                elif file in (TRAINED_CONTENT, TRAINED_IDS):
                    found.append(skipfill("check", "g", name, "--items", "items.parquet", expect=2))
                else:
                    found.append(skipfill("encode", name, "items.parquet", "-o", "x.parquet", expect=2))
                assert all(f"{path.name}: expected SHA-256" in one.err for one in found)
            path.write_bytes(data)
    encoders = {"tokenizer.json", "old-tokenizer.json"}
    assert seen == {WEIGHTS, TRAINED_CONTENT, TRAINED_IDS, LOG, WITNESS, *encoders}
    assert not Path("x.skipfill").exists()
    skipfill("model", "export", "v3", "-o", "v3.skipfill")
    skipfill("init", "--store", OTHER)
    skipfill("model", "add", "v3.skipfill", "--store", OTHER)
    skipfill("encode", "v3", "items.parquet", "-o", "one.parquet")
    skipfill("encode", "v3", "items.parquet", "-o", "two.parquet", "--store", OTHER)
    assert Path("one.parquet").read_bytes() == Path("two.parquet").read_bytes()


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    objects = one_of(tmp_path)
    shutil.copytree(tmp_path / "models" / "v2", tmp_path / "models" / "v3")
    with pytest.raises(BadInput, match="expected the card of v3, found that of"):
        load_card(objects, "v3")


def test_any_byte_of_a_card_that_is_changed_is_noticed(tmp_path: Path) -> None:
    """One of the name of its digest makes an unknown key; one of a space between keys changes nothing."""
    objects = one_of(tmp_path)
    path = tmp_path / card_key("v2")
    data, card = bytearray(path.read_bytes()), load_card(objects, "v2")
    noticed = 0
    for at in range(len(data)):
        data[at] ^= 1
        path.write_bytes(data)
        try:
            assert load_card(objects, "v2") == card
        except BadInput:
            noticed += 1
        data[at] ^= 1
    assert noticed > 0.9 * len(data.replace(b" ", b""))


def test_a_card_without_a_digest_is_an_older_one(tmp_path: Path) -> None:
    objects = one_of(tmp_path / "store")
    path = tmp_path / "store" / card_key("v2")
    raw = json.loads(path.read_text())
    assert raw.pop("digest")
    path.write_text(json.dumps(raw))
    export_bundle(objects, "v2", tmp_path / "v2.skipfill")
    other = init_store(tmp_path / "other")
    assert add_bundle(other, tmp_path / "v2.skipfill", trial=untried).new
    assert not add_bundle(other, tmp_path / "v2.skipfill", trial=untried).new
    assert not add_bundle(objects, tmp_path / "v2.skipfill", trial=untried).new


NUMBER = "expected a whole number"
NETWORKS: dict[str, tuple[dict[str, Any], str]] = {
    "layers of a billion": ({"settings": {"inputs": 16, "hidden": 10**9, "dropout": 0.1}}, NUMBER),
    "more than its weights": ({"settings": {"inputs": 16, "hidden": 4096, "dropout": 0.1}}, "that its weights fit"),
    "more than can be counted": ({"settings": {"inputs": 10**15, "hidden": 10**15, "dropout": 0.1}}, NUMBER),
    "below zero": ({"settings": {"inputs": 16, "hidden": -4, "dropout": 0.1}}, NUMBER),
    "of text": ({"settings": {"inputs": "16", "hidden": 4, "dropout": 0.1}}, NUMBER),
    "of another kind": ({"settings": [1, 2]}, "expected a JSON object"),
    "of a setting that nobody knows": ({"settings": {"inputs": 16, "run": "x"}}, "found 'run'"),
    "of an encoder that nobody knows": ({"kind": "pickle"}, "expected a known encoder"),
    "of a kind that is a list": ({"kind": ["mlp"]}, "expected a string"),
}


def test_a_network_that_its_weights_do_not_bear_out_is_never_made(registered: World) -> None:
    """A card may claim anything; what it claims is compared with the weights before room is made for it."""
    objects = open_store(STORE)
    path = STORE / card_key("v1")
    plain = json.loads(path.read_text())
    for changed, found in NETWORKS.values():
        raw = json.loads(json.dumps({**plain, "digest": ""}))
        raw["network"]["encoder"].update(changed)
        path.write_text(json.dumps(raw))
        with pytest.raises(BadInput, match=found):
            load_model(objects, "v1")
    for network in ({}, {"encoder": 3}, {"encoder": {}}, {**plain["network"], "head": {"features": 10**12}}):
        path.write_text(json.dumps({**plain, "digest": "", "network": network}))
        with pytest.raises(BadInput, match=r"expected a (key|JSON object)"):
            load_model(objects, "v1")


def test_a_model_whose_gallery_is_there_comes_back(bundle: Path, tmp_path: Path) -> None:
    """Its space was kept when it was deleted, and says which model may have its name."""
    objects = open_store(tmp_path / "store")
    register_space(objects, load_card(objects, "v2").space)
    shutil.rmtree(tmp_path / "store" / "models" / "v2")
    assert add_bundle(objects, bundle, trial=untried).new
    assert export_bundle(objects, "v2", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()
