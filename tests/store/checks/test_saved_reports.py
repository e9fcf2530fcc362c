"""Reports in the store: the newest one of a model on the same rows, each read once by a swap, damaged ones refused."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries
from skipfill.store.checks.saved_reports import check_ids, load_report
from skipfill.store.errors import BadInput, NotAcceptable, Stale
from skipfill.store.galleries.log import Version, latest
from skipfill.store.models.cards import load_card
from skipfill.store.releases.plan import Plan
from skipfill.store.releases.swap import apply_plan, plan_swap, planned_version
from skipfill.store.storage.address import Address
from skipfill.store.storage.layout import CHECKS, gallery_folder, per_query_key, report_key
from skipfill.store.storage.object_store import ObjectStore
from tests.conftest import Skipfill
from tests.store.stores import saved_check, store_at, store_with, swap


class Counted(ObjectStore):
    """A store that counts how often each key is read."""

    def __init__(self, root: Address) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.reads[key] += 1
        return super().get(key)


@pytest.fixture
def objects(tmp_path: Path) -> Counted:
    return Counted(store_with(tmp_path, 100).root)


def test_a_swap_reads_no_report_but_that_of_its_check(objects: Counted) -> None:
    saved_check(objects, rows_state="other-rows", verdict="fail")
    for day in range(10, 20):
        saved_check(objects, "v3", f"2026-01-{day}")
    passed = saved_check(objects, created="2026-01-05")
    objects.reads.clear()
    release = swap(objects, "g", load_card(objects, "v2")).release
    assert release is not None
    assert release.check == passed.id
    reports = {key for key in objects.reads if key.startswith(f"{CHECKS}/") and "/by-state/" not in key}
    assert reports == {report_key("g", passed.id)}
    assert len(check_ids(objects, "g")) == 12


def test_the_checks_of_a_model_and_rows_in_their_order(objects: Counted) -> None:
    fingerprint, rows_state = load_card(objects, "v2").fingerprint, latest(objects, "g").rows_state
    assert CheckIndex(objects, "g").of(rows_state, fingerprint) == []
    first = saved_check(objects, created="2026-01-02")
    saved_check(objects, "v3", "2026-01-09")
    saved_check(objects, created="2026-01-08", rows_state="other-rows")
    later = saved_check(objects, created="2026-01-01", verdict="fail")
    assert [entry.check for entry in CheckIndex(objects, "g").of(rows_state, fingerprint)] == [first.id, later.id]


def test_a_report_names_its_file_of_results_as_a_shell_takes_it(
    skipfill: Skipfill, objects: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def results(*store: str) -> str:
        return skipfill("report", "g", *store).out.partition("Results of each query: ")[2].strip()

    saved = saved_check(objects, policy=asdict(Policy()))
    place = objects.root / per_query_key("g", saved.id)
    assert results() == results("--store", ".skipfill") == f".skipfill/{per_query_key('g', saved.id)}"
    (tmp_path / "a shop").mkdir()
    monkeypatch.chdir(tmp_path / "a shop")
    assert results() == str(place)
    (tmp_path / ".skipfill").rename(tmp_path / "a shop" / "a store")
    monkeypatch.chdir(tmp_path)
    (named,) = shlex.split(results("--store", "a shop/a store"))
    assert Path(named).is_file()


def test_a_report_on_object_storage_names_the_url_of_its_file_of_results(
    skipfill: Skipfill, url: str, tmp_path: Path
) -> None:
    saved = saved_check(store_at(url, tmp_path), policy=asdict(Policy()))
    shown = skipfill("report", "g", "--store", url).out
    assert f"Results of each query: {url}/{per_query_key('g', saved.id)}\n" in shown


def test_of_racing_checks_each_has_a_number_of_its_own(objects: Counted) -> None:
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda second: saved_check(objects, created=f"2026-01-01T{second}"), range(40)))
    entries = CheckIndex(objects, "g").of(latest(objects, "g").rows_state, load_card(objects, "v2").fingerprint)
    assert {entry.check for entry in entries} == {report.id for report in saved}
    assert len(entries) == 40


def test_a_check_saved_between_plan_and_swap_is_seen(objects: Counted) -> None:
    saved_check(objects)
    plan = plan_swap(objects, "g", load_card(objects, "v2"))
    assert plan.applicable
    saved_check(objects, created="2026-02-01", verdict="inconclusive")
    with pytest.raises(Stale, match="inconclusive, which is newer"):
        apply_plan(objects, plan)
    with pytest.raises(NotAcceptable, match=r"found .* inconclusive"):
        swap(objects, "g", load_card(objects, "v2"))
    assert latest(objects, "g").number == 1


class Meanwhile(ObjectStore):
    """A store in which something happens once, when the list of a gallery's files is read."""

    def __init__(self, root: Address, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self._happens: list[Callable[[], object]] = [happens]

    def get(self, key: str) -> bytes:
        if key.startswith(f"{gallery_folder('g')}/files/") and self._happens:
            self._happens.pop()()
        return super().get(key)


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
@pytest.mark.parametrize("change", [planned_version, apply_plan])
def test_a_check_saved_while_a_swap_looks_at_the_files_is_seen(
    objects: Counted, verdict: str, change: Callable[[ObjectStore, Plan], Version]
) -> None:
    """Many files take a while."""
    saved_check(objects)
    plan = plan_swap(objects, "g", load_card(objects, "v2"))
    racing = Meanwhile(objects.root, lambda: saved_check(objects, created="2026-02-01", verdict=verdict))
    with pytest.raises(Stale, match=f"{verdict}, which is newer"):
        change(racing, plan)
    assert latest(objects, "g").number == 1


def test_only_what_has_a_report_is_a_check(objects: Counted) -> None:
    assert check_ids(objects, "g") == []
    whole = saved_check(objects)
    objects.put_new(per_query_key("g", "unfinished"), b"")
    objects.put_new("checks/g/notes.txt", b"")
    objects.put_new("checks/g/a b/report.json", b"")
    objects.put_new("checks/g/deep/deeper/report.json", b"")
    objects.put_new(report_key("g2", "other"), b"")
    assert check_ids(objects, "g") == [whole.id]
    with pytest.raises(BadInput, match=f"nearest: {whole.id}"):
        load_report(objects, "g", f"{whole.id[:-1]}z")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"format": 99}'])
def test_a_damaged_report_stops_a_swap(objects: Counted, damage: bytes) -> None:
    saved = saved_check(objects)
    objects.replace(report_key("g", saved.id), damage)
    with pytest.raises(BadInput, match=r"report\.json: expected"):
        swap(objects, "g", load_card(objects, "v2"))


def test_an_edited_report_is_refused(objects: Counted) -> None:
    saved = saved_check(objects, verdict="fail")
    key = report_key("g", saved.id)
    objects.replace(key, objects.get(key).replace(b'"fail"', b'"pass"'))
    with pytest.raises(BadInput, match="one that was edited"):
        load_report(objects, "g", saved.id)


def test_of_many_checks_few_are_read_and_none_is_forgotten(objects: Counted) -> None:
    """Every tenth entry has the nine before it, and so on: 250, 240, 230, 220, 210, 200 and 100 are read."""
    card, rows_state = load_card(objects, "v2"), latest(objects, "g").rows_state
    failed = saved_check(objects, verdict="fail", queries=Queries.of(["other"]))
    for number in range(249):
        last = saved_check(objects, created=f"2026-01-01T{number}")
    objects.reads.clear()
    entries = CheckIndex(objects, "g").of(rows_state, card.fingerprint)
    assert sum(objects.reads.values()) == 7
    assert len({entry.check for entry in entries}) == 250
    assert [entries[0].check, entries[-1].check] == [failed.id, last.id]
    with pytest.raises(NotAcceptable, match=f"found {failed.id} fail"):
        swap(objects, "g", card)
    saved_check(objects, created="2026-01-02", queries=Queries.of(["other"]))
    swap(objects, "g", card)
