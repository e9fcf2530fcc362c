"""No command prints a control character from data: hostile text is fed through every field that is stored or given."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skipfill.cli.terminal.characters import redacted, visible
from skipfill.cli.terminal.printing import emit, printer, show_next, table
from skipfill.cli.terminal.progress import Bar, Lines, progress
from tests.conftest import Skipfill, World, write_vectors

HOSTILE = (
    "x\r\n::stop-commands::token\n\x1b[31m\x1b]0;title\x07\x08\x0b\x0c\x00\x7f\x85\x9b31m"
    "\u2028\u2029\u202e\u2066\t[red]:warning:"
)
WRITTEN = (
    r"x\r\n::stop-commands::token\n\x1b[31m\x1b]0;title\x07\x08\x0b\x0c\x00\x7f\x85\x9b31m"
    r"\u2028\u2029\u202e\u2066\t[red]:warning:"
)
STYLE = re.compile(r"\r?\x1b\[\??[0-9;]*[A-Za-z]\r?|\xa0")
terminal_or_not = pytest.mark.parametrize("terminal", [False, True], ids=["no terminal", "terminal"])


def assert_printable(*texts: str) -> None:
    """Leave out rich's own control sequences and the pages' own blanks: they are no data."""
    for text in texts:
        for line in STYLE.sub("", text).split("\n"):
            assert line.isprintable(), repr(line)
            assert not line.startswith("::stop-commands")


@pytest.fixture
def safely(skipfill: Skipfill, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command as on a terminal or not; what it printed, which is printable."""

    def run(*arguments: object, terminal: bool = False) -> str:
        monkeypatch.setenv("FORCE_COLOR", "1") if terminal else monkeypatch.delenv("FORCE_COLOR", raising=False)
        monkeypatch.setenv("COLUMNS", "10000")  # so that no line is broken within what is looked for
        done = skipfill(*arguments, expect=None)
        assert done.code in (0, 1, 2, 3, 4), done.err
        assert_printable(done.out, done.err)
        return done.out + done.err

    return run


def test_every_hidden_character_is_written_out() -> None:
    assert visible(HOSTILE) == WRITTEN
    every = "".join(map(chr, range(0x11000)))
    hidden = [one for one in every if len(visible(one)) > 1]
    assert all(not one.isprintable() for one in hidden)
    assert all(not "\0" <= one < " " and not "\x7f" <= one <= "\x9f" for one in visible(every))
    assert not re.search("[\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", visible(every))
    assert visible("a\u200bb\u200e\u200f\u061c\ufeff\u00ad") == r"a\u200bb\u200e\u200f\u061c\ufeff\xad"
    assert visible("כן, 日本語, 🙂, naïve") == "כן, 日本語, 🙂, naïve"


@terminal_or_not
def test_what_commands_print_is_escaped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    from rich.text import Text

    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [(HOSTILE, Text(HOSTILE, "red"))]
    emit({}, as_json=False, show=lambda out: out.print(HOSTILE, table([HOSTILE, ""], rows), Text(HOSTILE, "bold")))
    show_next(HOSTILE, quiet=False)
    printer(stderr=True).print(Text.assemble((HOSTILE, "red"), "plain"), style="dim")
    monkeypatch.setattr("skipfill.cli.terminal.progress.SECONDS_BETWEEN_LINES", 0)
    with progress(quiet=False) as bar:
        assert isinstance(bar, Bar if terminal else Lines)
        bar.start(HOSTILE, 3)
        bar.note(HOSTILE, HOSTILE)
        bar.advance(1)
    out, err = capsys.readouterr()
    shown = STYLE.sub("", out)
    assert shown.count(WRITTEN) >= 3
    assert STYLE.sub("", err).count("::stop-commands::") >= 2
    assert_printable(out, err)
    emit({"a": HOSTILE}, as_json=True, show=lambda _: None)
    assert_printable(capsys.readouterr().out)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the texts in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, str):
        yield path
    for key, one in inner:
        yield from leaves(one, (*path, key))


READING = {
    "models/v2/card.json": [["model", "list"], ["model", "show", "v2"], ["status"], ["plan", "things", "v2"]],
    "spaces/v1.json": [["gallery", "show", "things"], ["status", "things"], ["model", "show", "v1"]],
    "galleries/things/versions/*1.json": [
        *(["status"], ["status", "things"], ["history", "things"], ["gallery", "list"], ["gallery", "show", "things"])
    ],
    "checks/things/by-state/*/*1.json": [["plan", "things", "v2"], ["swap", "things", "v2", "--dry-run"]],
}


@pytest.mark.parametrize("pattern", READING)
def test_stored_files_that_were_edited(
    safely: Callable[..., str], with_v2: World, tmp_path: Path, pattern: str
) -> None:
    safely("check", "things", "v2", "--items", with_v2.known)
    (file,) = (tmp_path / ".skipfill").glob(pattern)
    document = json.loads(file.read_text())
    reached = 0
    for turn, path in enumerate(leaves(document)):
        edited = json.loads(json.dumps(document))
        holder = edited
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] += HOSTILE
        file.write_text(json.dumps(edited))
        said = "".join(safely(*command, terminal=turn % 2 == 1) for command in READING[pattern])
        reached += "stop-commands" in said
    assert reached


@terminal_or_not
def test_a_report_of_hostile_texts(safely: Callable[..., str], with_v2: World, tmp_path: Path, terminal: bool) -> None:
    from skipfill.store.checks.report import Report
    from skipfill.store.checks.saved_reports import OLDER, load_report, save_report
    from skipfill.store.storage.location import open_store
    from skipfill.store.strict_json import fitted

    safely("check", "things", "v2", "--items", with_v2.heldout, "--slice-by", "label", "--index", "hnsw")
    objects = open_store(tmp_path / ".skipfill")
    (saved,) = (tmp_path / ".skipfill" / "checks" / "things").glob("*/report.json")
    raw = asdict(replace(load_report(objects, "things", saved.parent.name), id=""))
    kept = {
        "gallery",
        "state",
        "rows_state",
        "fingerprint",
        "verdict",
        "pair",
        "metric",
        "kind",
        "policy",
        "queries",
        "created",
        "id",
    }
    for path in [*leaves(raw)]:
        if kept.isdisjoint(path):
            holder: Any = raw
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] += HOSTILE
    raw["warnings"] = [HOSTILE]
    report = save_report(objects, fitted(Report, json.loads(json.dumps(raw)), "report", OLDER), pa.table({"id": ["a"]}))
    show = ["report", "things", report.id]
    assert "stop-commands" in safely(*show, terminal=terminal)
    safely(*show, "--html", "r.html", "--junit", "r.xml", "--github", terminal=terminal)
    safely(*show, "--json")
    for page in ("r.html", "r.xml"):
        assert_printable((tmp_path / page).read_text())
    for command in (["plan", "things", "v2"], ["history", "things"], ["status"], ["doctor"]):
        safely(*command, terminal=terminal)


@terminal_or_not
def test_a_life_of_hostile_names(
    safely: Callable[..., str], with_v2: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """Ids, labels, columns, reasons, users, slices and paths."""
    name = HOSTILE.replace("\0", "")  # no argument and no path has one
    monkeypatch.setenv("USER", name)
    vectors = np.random.default_rng(0).normal(size=(40, 8))
    ids, labels = [f"{HOSTILE}{i}" for i in range(40)], [f"{HOSTILE}{i % 2}" for i in range(40)]
    folder, unreadable = tmp_path / name, tmp_path / f"{name}\udcff"
    folder.mkdir()
    unreadable.mkdir()
    names = (f"{name}i", f"{name}v", f"{name}l")
    write_vectors(folder / "g.parquet", vectors, ids, labels, names)
    columns = ["--id", names[0], "--vector", names[1], "--label", names[2]]

    (unreadable / "g.parquet").write_bytes((folder / "g.parquet").read_bytes())

    def said(*arguments: object) -> str:
        return safely(*arguments, terminal=terminal)

    assert "stop-commands" in said("gallery", "add", "odd", folder / "g.parquet", "--space", "s", *columns)
    said("gallery", "add", "odd2", folder / "nothing.parquet", "--space", "s")
    assert "expected a name in UTF-8" in said("gallery", "add", "odd3", unreadable, "--space", "s", *columns)
    said("status", "--store", unreadable)
    said("init", "--store", unreadable / "store")
    said("encode", "v2", with_v2.heldout, "-o", unreadable / "out.parquet")
    said(
        "check",
        "things",
        "v2",
        "--items",
        unreadable / "g.parquet",
        "--judgements",
        unreadable / "x",
        "--junit",
        unreadable,
    )
    said("swap", "things", "--plan", unreadable / "plan.json")
    said("model", "export", "v2", "-o", unreadable / "v2.skipfill")
    said("model", "add", unreadable / "v2.skipfill", "--name", "v9")
    assert "stop-commands" in said("gallery", "show", "odd")
    assert "stop-commands" in said("search", "odd", "--vectors", folder / "g.parquet", *columns[:4])
    assert "stop-commands" in said("gallery", "add", "more", folder / "g.parquet", "--space", "s")
    said("encode", "v2", with_v2.heldout, "-o", folder / "out.parquet")
    said("model", "export", "v2", "-o", folder / "v2.skipfill")
    said("model", "add", folder / "v2.skipfill", "--name", name)
    said("check", "things", "v2", "--items", with_v2.known, "--slice", name, "--slice-by", name)
    said("check", "things", "v2", "--items", with_v2.known, "--instead-of", name, "--reason", name, "--metric", name)
    items = pq.read_table(with_v2.known)
    pq.write_table(items.append_column(name, pa.array([f"{HOSTILE}{i % 2}" for i in range(len(items))])), "odd.parquet")
    told = said("check", "things", "v2", "--items", "odd.parquet", "--slice-by", f'query."{name}"')
    assert "stop-commands" in told
    said("check", "things", "v2", "--items", "odd.parquet", "--label", name)
    said("train", name, "--items", "odd.parquet", "--input", name, "--method", name, "--set", name)
    said("train", "v3", "--items", "odd.parquet", "--label", name, "--epochs", 1, "--log", "-")
    assert "stop-commands" in said("plan", "things", "v2", "--without-check", name)
    said("swap", "things", "v2", "--without-check", name)
    said("policy", "things", "--margin", 0.1, "--reason", name)
    assert said("history", "things").count("stop-commands") >= 2
    assert "stop-commands" in said("status", "things")
    said("rollback", "things", "--reason", name)
    for command in (["status"], ["doctor"], ["status", name], [name], ["--config", name, "status"], ["gallery", name]):
        said(*command)
    said("status", "--store", f"s3://{name}")
    said("status", "--json")
    said("gallery", "drop", "things", "--confirm", name)


def test_no_credentials_in_an_error(skipfill: Skipfill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPFILL_DEBUG", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://someone:hunter2@127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_TIMEOUT", "1s")
    for store in ("s3://bucket/x", "s3://someone:hunter2@bucket/x", "ftp://someone:hunter2@bucket/x"):
        done = skipfill("status", "--store", store, expect=2)
        assert "Traceback" in done.err
        assert "hunter2" not in done.err
        assert "wJalrXUtnFEMI" not in done.err
    assert redacted("see https://a:b@c/d and s3://e@f, not g@h.i") == "see https://***@c/d and s3://***@f, not g@h.i"
