"""The keys of a store, against those of the frozen store of a release; and the names that they may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipfill.store.errors import BadInput
from skipfill.store.storage import layout as keys

STORE = Path(__file__).parents[2] / "fixtures" / "store-0.1" / "store"


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        (keys.MARKER, "store.json"),
        (keys.card_key("v1"), "models/v1/card.json"),
        (keys.space_key("v1"), "spaces/v1.json"),
        (keys.version_key("things", 1), "galleries/things/versions/*1.json"),
        (keys.release_copy_key("things"), "galleries/*/release.json"),
    ],
)
def test_keys_are_those_of_older_stores(key: str, pattern: str) -> None:
    assert [str(path.relative_to(STORE)) for path in STORE.glob(pattern)] == [key]


def test_checks_and_file_lists_of_older_stores() -> None:
    folders = [path.name for path in (STORE / keys.checks_folder("things")).iterdir()]
    assert folders
    for check in folders:
        assert (STORE / keys.report_key("things", check)).is_file()
        assert (STORE / keys.per_query_key("things", check)).is_file()
    digests = [path.stem for path in STORE.glob("galleries/things/files/*")]
    assert digests
    assert all((STORE / keys.file_list_key("things", digest)).is_file() for digest in digests)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a..b", ".hidden", "-x", "x" * 65, "a b", "é"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert not keys.is_name(name)
    for key in (keys.card_key, keys.space_key, keys.log_folder, keys.checks_folder, keys.training_folder):
        with pytest.raises(BadInput, match="expected 1-64 letters"):
            key(name)


def test_names_and_numbers_are_read_back() -> None:
    assert keys.space_of_key(keys.space_key("v1.json")) == "v1.json"
    assert keys.original_key(keys.aside_key("models/v1/x")) == keys.original_key("models/v1/x") == "models/v1/x"
    assert [keys.version_number(file) for file in (keys.version_file(7), "7.json", "0000000007.json#1")] == [7, 0, 0]
