"""Reports for CI systems: of a check that could not be made, and of one that is not saved."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from tests.conftest import Skipfill, World, tree

SCHEMA = Path(__file__).parents[1] / "fixtures" / "junit.xsd"
ODD_NAME = "x\n::stop-commands::\x1b[31m\x00.parquet".replace("\x00", "\x01")
FAILURES = {
    "bad input": (["things", "v2", "--items", ODD_NAME], r"x\n::stop-commands::\x1b[31m\x01.parquet"),
    "an unknown gallery": (["thing", "v2", "--items", "known.parquet"], "expected a known gallery"),
    "a missing option": (["things", "v2"], "--items"),
    "an unknown option": (["things", "--jsn", "v2", "--items", "known.parquet"], "--jsn"),
    "an option of another kind": (["things", "v2", "--items", "known.parquet", "--depth", "x"], "--depth"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_check_that_could_not_be_made_is_seen(
    skipfill: Skipfill, with_v2: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arguments, said = FAILURES[case]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    for file in ("check.xml", "check.html"):
        (tmp_path / file).write_text("PASS: the one before")
    done = skipfill("check", *arguments, "--junit", "check.xml", "--html", "check.html", "--github", expect=2)
    assert done.out.startswith("::error title=skipfill%3A no check was made::")
    assert done.out.count("\n") == 1
    document = (tmp_path / "check.xml").read_text()
    xmlschema.XMLSchema(SCHEMA).validate(document)
    (suite,) = ElementTree.fromstring(document)
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "1")
    error = suite.find("testcase/error")
    assert error is not None
    assert said in error.attrib["message"]
    page = (tmp_path / "check.html").read_text()
    assert "no check was made" in page
    assert said in unescape(page)
    assert "PASS" not in page
    assert said in done.err
    assert "no check was made" in (tmp_path / "summary.md").read_text()
    assert all(line.isprintable() for line in (done.out + done.err + document).split("\n"))


@pytest.mark.parametrize(("model", "items"), [("v9", "known.parquet"), ("v2", "nothing.parquet")])
def test_a_wrong_name_is_said_before_anything_is_loaded(
    skipfill: Skipfill, with_v2: World, monkeypatch: pytest.MonkeyPatch, model: str, items: str
) -> None:
    monkeypatch.setitem(sys.modules, "skipfill.compat.gate.check", None)  # its import would fail
    assert "expected a" in skipfill("check", "things", model, "--items", items, expect=2).err


def test_an_unforeseen_error_of_a_check_is_seen(
    skipfill: Skipfill, with_v2: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unforeseen(*_: object) -> None:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("skipfill.compat.gate.check.CheckContext.opened", unforeseen)
    monkeypatch.setenv("SKIPFILL_CHECK_JUNIT", "check.xml")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check = ["check", "things", "v2", "--items", "known.parquet", "--github", "--json"]
    done = skipfill(*check, expect=70)
    assert done.document["error"] == "unforeseen ZeroDivisionError: by chance"
    assert "unforeseen ZeroDivisionError" in (tmp_path / "check.xml").read_text()
    assert "\n::error title=skipfill%3A no check was made::unforeseen" in f"\n{done.err}"


def test_other_commands_write_no_report_of_their_errors(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert skipfill("report", "things", "nothing", "--junit", "check.xml", "--github", expect=2).out == ""
    assert tree(tmp_path) == before


def test_a_check_that_is_not_saved_counts_for_nothing(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    lax = ["--metric", "mAP", "--not-worse", "--accept-worse", "unseen"]
    skipfill("policy", "things", *lax)
    check = ["check", "things", "v2", "--items", with_v2.known]
    before = tree(tmp_path)
    done = skipfill(*check, "--no-save")
    assert tree(tmp_path) == before
    assert "check (not saved);" in done.out
    assert "this check was not saved, so it has no effect on a swap" in done.out
    assert "skipfill swap" not in done.out + done.err
    document = skipfill(*check, "--no-save", "--json", "--junit", "c.xml", "--html", "c.html", "--github").document
    assert (document["verdict"], document["check"]["id"]) == ("pass", "")
    for file in ("c.xml", "c.html"):
        assert "not saved" in (tmp_path / file).read_text()
    skipfill("swap", "things", "v2", expect=1)
    skipfill(*check)
    skipfill("swap", "things", "v2")


def test_a_store_that_cannot_be_written_is_said_before_the_measurement(
    skipfill: Skipfill, with_v2: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_by_the_system(folder: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr("skipfill.store.checks.saved_reports.tried_in", refused_by_the_system)
    monkeypatch.setattr("skipfill.compat.gate.check.CheckContext.opened", None)  # it would be called
    refused = skipfill("check", "things", "v2", "--items", with_v2.known, expect=2)
    assert "expected a folder that this user can write to: the check is saved in it" in refused.err
    assert "--no-save" in refused.err
    monkeypatch.undo()
    monkeypatch.chdir(with_v2.folder)
    monkeypatch.setattr("skipfill.store.checks.saved_reports.tried_in", refused_by_the_system)
    assert "not saved" in skipfill("check", "things", "v2", "--items", with_v2.known, "--no-save", expect=3).out
