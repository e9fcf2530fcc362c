"""A plan writes nothing; the swap that applies it looks at everything again; a stale one changes nothing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.throughput import SAMPLE, measured_rate
from skipfill.store.errors import BadInput, NotAcceptable, Stale
from skipfill.store.galleries.log import history, latest, read_version
from skipfill.store.models.cards import load_card
from skipfill.store.models.files import save_model
from skipfill.store.parquet.items import ItemBlock, open_items
from skipfill.store.releases.backfill_cost import EncodeRate, backfill_cost
from skipfill.store.releases.plan import Plan, read_plan
from skipfill.store.releases.rollback import rollback
from skipfill.store.releases.swap import apply_plan, plan_swap, planned_version
from skipfill.store.spaces import View
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill, World, spawn, tree, write_vectors
from tests.store.stores import store_with, swap

STORE = Path(".skipfill")


@pytest.fixture
def ready(skipfill: Skipfill, with_v2: World) -> World:
    """A store with gallery `things`, whose version 2 has a policy, model v2 and a passing check of it."""
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    skipfill("check", "things", "v2", "--items", with_v2.known)
    return with_v2


def test_the_story(skipfill: Skipfill, ready: World, tmp_path: Path) -> None:
    before = tree(tmp_path)
    timed = ["--items", ready.gallery_items, "--price-per-million", 20]
    shown = skipfill("plan", "things", "v2", *timed)
    assert tree(tmp_path) == before
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    for text in (
        "v1 -> v2 (the first 8 coordinates)",
        "2 -> 3",
        "gallery version",
        "gallery files",
        "384 rows x 20 / 1,000,000",
    ):
        assert text in shown.out
    assert "NO" not in shown.out
    assert "skipfill swap things v2. To apply exactly this plan, save it with -o FILE" in shown.err
    document = skipfill("plan", "things", "v2", *timed, "--json", "-o", "plan.json").document
    plan = document["plan"]
    assert document["exit_code"] == 0
    assert json.loads(Path("plan.json").read_text()) == plan
    assert set(tree(tmp_path)) - set(before) == {"plan.json"}
    assert [one["name"] for one in plan["requires"]] == ["gallery version", "gallery files", "model", "view", "check"]
    assert all(one["holds"] for one in plan["requires"])
    assert plan["avoids"]["rows"] == 384
    assert plan["avoids"]["encode_seconds"] > 0
    assert (
        "expected a file that does not exist yet" in skipfill("plan", "things", "v2", "-o", "plan.json", expect=2).err
    )
    before = tree(tmp_path)
    skipfill("swap", "things", "--plan", "plan.json", "--dry-run")
    assert tree(tmp_path) == before
    swapped = skipfill("swap", "things", "--plan", "plan.json", "--json").document["version"]
    assert set(tree(tmp_path)) - set(before) == {".skipfill/galleries/things/versions/0000000003.json"}
    assert (swapped["release"]["model"], swapped["plan"]) == ("v2", plan["id"])
    assert swapped["release"]["check"] == plan["check"] != ""
    skipfill("rollback", "things")
    again = skipfill("swap", "things", "--plan", "plan.json", expect=4)
    assert f"plan {plan['id']}: version 3 of gallery things already applied this plan" in again.err
    assert latest(ObjectStore(STORE), "things").number == 4


def test_a_plan_from_stdin(skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = store_with(tmp_path, 100)
    saved = skipfill("plan", "g", "v2", "--without-check", "x", "-o", "-").out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(saved.encode())))
    skipfill("swap", "g", "--plan", "-")
    assert latest(objects, "g").plan == json.loads(saved)["id"]


def test_a_plan_without_a_passing_check_exits_1_and_so_does_its_swap(skipfill: Skipfill, ready: World) -> None:
    train = ("--gallery", "things", "--items", ready.items, "--epochs", 1, "--batch", 32)
    skipfill("train", "v3", *train)
    none = skipfill("plan", "things", "v3", expect=1)
    assert "NO" in none.out
    assert "skipfill check things v3" in none.err
    # noise: the plan names the check that failed
    skipfill("train", "v4", "--method", "l2", "--lr", 1e-9, *train)
    failed = skipfill("check", "things", "v4", "--items", ready.heldout, "--json", expect=1).document["check"]["id"]
    planned = skipfill("plan", "things", "v4", "--json", "-o", "plan.json", expect=1)
    document = planned.document
    assert document["exit_code"] == 1
    assert document["plan"]["verdict"] == "fail"
    check = document["plan"]["requires"][-1]
    assert check == {"name": "check", "expected": "pass", "found": f"{failed} fail", "holds": False}
    assert "Not written: plan.json, because a swap would refuse this plan" in planned.err
    assert not Path("plan.json").exists()
    Path("plan.json").write_text(json.dumps(document["plan"]))  # as an earlier release wrote it
    before = tree(STORE)
    refused = skipfill("swap", "things", "--plan", "plan.json", expect=1)
    assert f"expected a passing check of v4, found {failed} fail" in refused.err
    assert tree(STORE) == before
    skipfill("plan", "things", "v4", "--without-check", "an experiment", "-o", "forced.json")
    skipfill("swap", "things", "--plan", "forced.json")
    assert latest(ObjectStore(STORE), "things").release.without_check == "an experiment"


def another_version(objects: ObjectStore) -> None:
    swap(objects, "things", load_card(objects, "v2"), "first")


def there_and_back(objects: ObjectStore) -> None:
    """The state is as it was, the version is not."""
    another_version(objects)
    rollback(objects, "things")


def another_model(objects: ObjectStore) -> None:
    shutil.rmtree(objects.root / "models" / "v2")
    other = replace(load_card(objects, "v1"), name="v2", views={"v1": View(8)}, files={})
    save_model(objects, other, b"other weights", pa.array(["a"]))


def no_model(objects: ObjectStore) -> None:
    shutil.rmtree(objects.root / "models" / "v2")


def no_check(objects: ObjectStore) -> None:
    shutil.rmtree(objects.root / "checks")


def edited_check(field: str, value: str) -> Callable[[ObjectStore], None]:
    def edit(objects: ObjectStore) -> None:
        (path,) = (objects.root / "checks" / "things").glob("*/report.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))

    return edit


def edited_version(objects: ObjectStore) -> None:
    """The same name and number in another store."""
    path = objects.root / "galleries" / "things" / "versions" / "0000000002.json"
    path.write_text(path.read_text().replace(latest(objects, "things").files, "0" * 64))


def narrower_view(objects: ObjectStore) -> None:
    path = objects.root / "models" / "v2" / "card.json"
    content = json.loads(path.read_text())
    content["views"]["v1"]["dim"] = 4
    del content["digest"]
    path.write_text(json.dumps(content))


STALE: dict[str, tuple[Callable[[ObjectStore], None], str]] = {
    "another version": (another_version, ": gallery version: expected 2 ("),
    "there and back": (there_and_back, ": gallery version: expected 2 ("),
    "other rows": (edited_version, ": gallery version: expected 2 ("),
    "another model": (another_model, ": model: expected "),
    "no model": (no_model, ", found none"),
    "another view": (narrower_view, ": view: expected prefix 8, found prefix 4"),
    "no check": (no_check, " pass, found none"),
    "a check that failed": (edited_check("verdict", "fail"), "pass, found no report of"),
    "a check of another state": (edited_check("state", "f" * 16), "pass, found no report of"),
    "a check of another model": (edited_check("fingerprint", "f" * 64), "pass, found no report of"),
}


def test_every_way_to_be_stale_exits_4_and_changes_nothing(skipfill: Skipfill, ready: World, tmp_path: Path) -> None:
    skipfill("plan", "things", "v2", "-o", "plan.json")
    shutil.copytree(STORE, tmp_path / "kept")
    for case, (change, expected) in STALE.items():
        shutil.rmtree(STORE)
        shutil.copytree(tmp_path / "kept", STORE)
        change(ObjectStore(STORE))
        before = tree(STORE)
        for options in ([], ["--dry-run"], ["--json"]):
            refused = skipfill("swap", "things", "--plan", "plan.json", *options, expect=4)
            assert expected in refused.err, case
        assert refused.document["exit_code"] == 4
        assert tree(STORE) == before, case


def test_a_changed_file_is_noticed_by_the_plan(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    skipfill("plan", "g", "v2", "--without-check", "x")
    write_vectors(tmp_path / "part-0000.parquet", np.ones((90, 4)))
    refused = skipfill("plan", "g", "v2", "--without-check", "x", expect=4)
    assert "expected the file that gallery g was registered with" in refused.err


def test_of_processes_that_apply_one_plan_one_wins(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    plan = plan_swap(objects, "g", load_card(objects, "v2"), "race")
    (tmp_path / "plan.json").write_text(plan.as_json())
    racers = [spawn("swap", "g", "--plan", "plan.json", cwd=tmp_path) for _ in range(4)]
    for racer in racers:
        racer.communicate(timeout=120)
    # Who looks when it is done finds it so already.
    assert {racer.returncode for racer in racers} <= {0, 4}
    assert [(one.number, one.plan) for one in history(objects, "g")] == [(1, ""), (2, plan.id)]


def test_a_direct_swap_is_a_plan_applied_at_once(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    done = swap(objects, "g", load_card(objects, "v2"), "test")
    assert len(done.plan) == 16
    with pytest.raises(NotAcceptable, match="expected a passing check of v3, found none"):
        swap(objects, "g", load_card(objects, "v3"))


def test_a_version_without_a_plan_is_still_read(tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    path = objects.root / "galleries" / "g" / "versions" / "0000000001.json"
    content = json.loads(path.read_text())
    del content["plan"]
    path.write_text(json.dumps(content))
    assert read_version(objects, "g", 1).plan == ""


def test_a_release_is_never_what_a_forged_plan_says(tmp_path: Path) -> None:
    """Even one whose id is right: view, model and check are those of the store, or it is stale."""
    objects = store_with(tmp_path, 100)
    plan = plan_swap(objects, "g", load_card(objects, "v2"), "test")
    for forged in (
        replace(plan, view=View(3)),
        replace(plan, fingerprint="0" * 64),
        replace(plan, model="v3", without_check="", check="abc", verdict="pass"),
        replace(plan, version=7),
        replace(plan, files="0" * 64),
    ):
        read_again = read_plan(forged.identified().as_json().encode(), "forged.json")
        with pytest.raises(Stale):
            apply_plan(objects, read_again)
    unchecked = replace(plan, without_check="", requires=[]).identified()
    with pytest.raises(NotAcceptable):
        planned_version(objects, unchecked)
    assert latest(objects, "g").number == 1


def hostile(content: dict[str, Any]) -> dict[str, bytes]:
    def with_(**changed: Any) -> bytes:
        made = {**content, **changed}
        return json.dumps({key: value for key, value in made.items() if value is not ...}).encode()

    def signed(**changed: Any) -> bytes:
        kept = Plan(**{**vars(read_plan(json.dumps(content).encode(), "plan")), **changed})
        return kept.identified().as_json().encode()

    requirement = content["requires"][0]
    return {
        "empty": b"",
        "no JSON": b"{",
        "not UTF-8": b"\xff\xfe\x00",
        "a list": b"[]",
        "null": b"null",
        "nested": b"[" * 100_000,
        "nested objects": b'{"format":' * 20_000,
        "huge": b" " * (1 << 20) + b"{}",
        "huge number": b'{"format": 1' + b"0" * 5_000 + b"}",
        "NaN": with_().replace(b'"encode_seconds": null', b'"encode_seconds": NaN'),
        "a newer format": with_(format=2),
        "an older format": with_(format=0),
        "a text as format": with_(format="2"),
        "true as format": with_(format=True),
        "a missing key": with_(state=...),
        "an unknown key": with_(extra=1),
        "an unknown long key": with_(**{"x" * 10_000: 1}),
        "a text as version": with_(version="1"),
        "true as version": with_(version=True),
        "a fraction as version": with_(version=1.5),
        "version 0": signed(version=0),
        "a negative version": signed(version=-3),
        "a number as model": with_(model=1),
        "null as view": with_(view=None),
        "another kind of view": with_(view={"dim": 8, "kind": "matrix"}),
        "a view without dim": with_(view={"kind": "prefix"}),
        "an object as requires": with_(requires={}),
        "texts as requires": with_(requires=["model"]),
        "another requirement": with_(requires=[{**requirement, "name": "weather"}]),
        "a list as requirement's name": with_(requires=[{**requirement, "name": []}]),
        "a number as holds": with_(requires=[{**requirement, "holds": 1}]),
        "null as avoids": with_(avoids=None),
        "numbers as arithmetic": with_(avoids={**content["avoids"], "arithmetic": {"vectors": 1}}),
        "a lone surrogate": with_(without_check="\ud800"),
        "edited": with_(without_check="because"),
        "another id": with_(id="0" * 16),
        "a gallery outside": signed(gallery="../../etc"),
        "a model outside": signed(model="/etc/passwd"),
        "a check outside": signed(check="../../../x"),
        "a check with an end": signed(check="a\x00b"),
        "no name": signed(model=""),
        "another gallery": signed(gallery="other"),
    }


def test_a_hostile_plan_exits_2_in_one_line(skipfill: Skipfill, tmp_path: Path) -> None:
    objects = store_with(tmp_path, 100)
    content = asdict(plan_swap(objects, "g", load_card(objects, "v2"), "test"))
    before = tree(tmp_path / ".skipfill")
    for case, data in hostile(content).items():
        Path("bad.json").write_bytes(data)
        refused = skipfill("swap", "g", "--plan", "bad.json", expect=None)
        assert refused.code == 2, f"{case}: {refused}"
        assert refused.err.startswith("error: "), case
        assert refused.err.count("\n") == 1, case
        assert len(refused.err) < 600, case
        assert "Traceback" not in refused.err, case
    assert tree(tmp_path / ".skipfill") == before


def test_a_mistyped_plan_is_answered_by_the_nearest_name(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    said = "found No such file or directory. To make a plan: skipfill plan g MODEL -o FILE. "
    refused = skipfill("swap", "g", "--plan", "plan.jsn", expect=2).err
    assert f"{said}See which files are there: ls ." in refused
    (tmp_path / "plan.json").touch()
    refused = skipfill("swap", "g", "--plan", "plan.jsn", expect=2).err
    assert f"{said}Nearest: plan.json. See which files are there: ls ." in refused


def test_swap_takes_a_model_or_a_plan(skipfill: Skipfill, tmp_path: Path) -> None:
    store_with(tmp_path, 100)
    assert "expected either MODEL or --plan, found neither" in skipfill("swap", "g", expect=2).err
    skipfill("plan", "g", "v2", "--without-check", "x", "-o", "plan.json")
    assert "found both" in skipfill("swap", "g", "v2", "--plan", "plan.json", expect=2).err
    assert "the plan has its own" in skipfill("swap", "g", "--plan", "plan.json", "--without-check", "y", expect=2).err
    assert "No such file" in skipfill("swap", "g", "--plan", "nowhere.json", expect=2).err
    assert "expected a file, found a folder" in skipfill("swap", "g", "--plan", ".", expect=2).err


def test_the_arithmetic() -> None:
    found = backfill_cost(40_000_000, 768, EncodeRate(512, 2.0), 20.0)
    assert found.vector_bytes == 40_000_000 * 768 * 4 == 122_880_000_000
    assert found.encode_seconds == 40_000_000 / 256 == 156_250
    assert found.money == 800
    assert found.arithmetic == {
        "vectors": "40,000,000 rows x 768 coordinates x 4 bytes = 122.9 GB",
        "encoding": "40,000,000 rows / 256 items per second = 43.4 hours",
        "money": "40,000,000 rows x 20 / 1,000,000 = 800",
    }
    nothing = backfill_cost(1, 1, None, None)
    assert (nothing.encode_seconds, nothing.money) == (None, None)
    assert nothing.arithmetic == {"vectors": "1 rows x 1 coordinates x 4 bytes = 4 bytes"}
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="expected a price of 0 or more"):
            backfill_cost(1, 1, None, price)


def test_items_of_another_kind_are_not_timed(skipfill: Skipfill, registered: World) -> None:
    pq.write_table(pa.table({"id": ["a"], "text": ["words"]}), "texts.parquet")
    refused = skipfill("plan", "things", "v1", "--items", "texts.parquet", expect=2)
    assert "expected a column of vectors, which model v1 encodes" in refused.err


def test_the_model_that_is_timed_encodes_the_first_256_items(
    registered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate is a number of items over the seconds that they took: the first ones, again and again."""
    encoded_ids: list[str] = []
    embed = LoadedModel.embed

    def recorded(model: LoadedModel, block: ItemBlock) -> np.ndarray:
        encoded_ids.extend(block.ids.to_pylist())
        return embed(model, block)

    monkeypatch.setattr(LoadedModel, "embed", recorded)
    model = load_model(ObjectStore(STORE), "v1")
    items = open_items([registered.gallery_items, registered.heldout])
    rate = measured_rate(model, items)
    assert rate.items % SAMPLE == 0
    assert SAMPLE == 256
    first = pq.read_table(registered.gallery_items, columns=["id"])["id"].to_pylist()[:SAMPLE]
    assert encoded_ids == first * (1 + rate.items // SAMPLE)  # once to warm up
    assert rate.per_second == pytest.approx(rate.items / rate.seconds)
    assert rate.seconds >= 0.5
