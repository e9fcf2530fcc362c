"""The README, the guide and the help tell the truth: every command line in them parses, and the main story runs."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer

from skipfill.cli.app import app, run
from skipfill.cli.guide.registry import TOPICS, page
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.serving import released
from tests.cli.shells import shell
from tests.conftest import Skipfill, World
from tests.judged_docs import write_docs
from tests.sources import ROOT
from tests.store.parquet.formats.writers import json_lines

README = (ROOT / "README.md").read_text()
PAGES = {"README": README} | {topic: page(topic) for topic in TOPICS}
MOST_LINES = 200  # of the README: what somebody reads in two minutes


def console_lines(text: str) -> list[str]:
    """The command lines in the console blocks of a page, without those of transcripts."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("skipfill")]


def transcript_lines(text: str) -> list[str]:
    """The command lines that a page shows with their output."""
    return re.findall(r"^\$ (skipfill .+)$", text, re.M)


LINES = sorted({line for text in PAGES.values() for line in console_lines(text) + transcript_lines(text)})


def commands() -> dict[str, Any]:
    """Every command by its full name."""
    found: dict[str, Any] = {}
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}": one for sub, one in inner.items()} if inner else {name: command}
    return found


def parses(line: str) -> None:
    words = shlex.split(line)[1:]
    known = commands()
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    assert name in known, f"no such command: {line}"
    known[name].make_context(name, words[len(name.split()) :], resilient_parsing=False).close()


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_pages_parses(line: str) -> None:
    parses(line)


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_has_one_sentence_and_an_example_that_parses(name: str) -> None:
    text = commands()[name].help
    assert text.split("\n\n")[0].replace("\n", " ").rstrip().endswith(".")
    example = re.search(r"Example: (skipfill .+)", text)
    assert example
    assert example[1].startswith(f"skipfill {name}")
    parses(example[1])


def test_every_command_and_method_is_on_a_page() -> None:
    everything = "".join(PAGES.values())
    for name in commands():
        assert f"skipfill {name.split()[0]}" in everything
    for method in METHODS:
        assert f"`{method}`" in PAGES["methods"]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_links_of_the_pages_lead_somewhere() -> None:
    folders = {"README": ROOT} | dict.fromkeys(TOPICS, ROOT / "cli" / "guide")
    for topic, text in PAGES.items():
        for target in re.findall(r"\]\((?!https://)([^)]+)\)", text):
            assert (folders[topic] / target).exists(), f"{topic}: {target}"
        for target in re.findall(r"`(\.decisions/[^`]+\.md|(?:cli|compat|store|tests)/[\w./]+\.\w+)`", text):
            assert (ROOT / target).exists(), f"{topic}: {target}"


def test_the_page_on_incidents_runs_as_written(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    """Its commands in their order, on a gallery whose release is bad; only the check may pass or not."""
    known = pq.read_table("known.parquet")
    pq.write_table(known.slice(10), "heldout.parquet")
    pq.write_table(known.slice(0, 10), "incident.parquet")
    skipfill("gallery", "add", "products", "gallery.parquet", "--space", "v1")
    skipfill("policy", "products", "--metric", "mAP", "--accept-worse", "unseen")
    skipfill("check", "products", "v2", "--items", "heldout.parquet")
    skipfill("swap", "products", "v2")
    skipfill("train", "v1-test", "--items", with_v2.old_items, "--dim", 8, "--epochs", 1, "--batch", 32)
    story = console_lines(PAGES["incident"])
    assert len(story) == 12
    for line in story:
        skipfill(*shlex.split(line)[1:])
        if line.startswith("skipfill rollback") and "--dry-run" not in line:
            assert "INC-43" in skipfill("swap", "products", "v2", expect=1).err
    assert skipfill("guide", "rollback").out == PAGES["incident"]


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / ".decisions" / "README.md").read_text()
    for note in (ROOT / ".decisions").glob("0*.md"):
        assert f"({note.name})" in index


@pytest.mark.parametrize(("topic", "heading", "lines"), [("README", "Upgrade your own", 7), ("tutorial", "Words", 9)])
def test_the_main_story_runs_as_written(
    skipfill: Skipfill, registered: World, tmp_path: Path, topic: str, heading: str, lines: int
) -> None:
    """The lines from a heading on, up to the next story, in their order, on files with the names that they use."""
    shutil.rmtree(tmp_path / ".skipfill")
    shutil.copy("heldout.parquet", "queries.parquet")
    story = console_lines(PAGES[topic].split(f"## {heading}")[1].split("## Two upgrades")[0].split("## Your")[0])
    assert len(story) == lines
    # The gallery's model is not in this store: the held-out queries must be rows of the gallery.
    stored, trained = (pq.read_table(f"{name}.parquet") for name in ("gallery_items", "items"))
    pq.write_table(stored.filter(pc.invert(pc.is_in(stored["id"], trained["id"]))), "heldout.parquet")
    for line in story:
        words = shlex.split(line)[1:]
        if words[0] == "check":
            assert skipfill(*words, expect=None).code in (0, 1, 3)
        elif words[0] == "swap":
            skipfill(*words, "--without-check", "the small world of this test")
        else:
            skipfill(*words)


def test_the_story_of_re_ranking_runs_as_written(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    """On a gallery whose old model is in the store."""
    skipfill("gallery", "add", "products", "gallery.parquet", "--space", "v1")
    skipfill("policy", "products", "--metric", "mAP", "--accept-worse", "unseen")
    for name, source in {"heldout": "known", "queries": "heldout", "rows": "gallery_items"}.items():
        shutil.copy(f"{source}.parquet", f"{name}-new.parquet")
    for name in ("heldout", "queries", "rows"):
        shutil.move(f"{name}-new.parquet", f"{name}.parquet")
    story = console_lines(PAGES["reranking"].split("## The commands")[1].split("## With vectors")[0])
    assert len(story) == 8
    for line in story:
        words = shlex.split(line)[1:]
        skipfill(*words, expect=None if words[0] == "advise" else 0)
    assert skipfill("status", "products", "--json").document["version"]["release"]["model"] == "v1"


@pytest.mark.parametrize(
    ("topic", "heading", "lines"), [("reranking", "With vectors alone", 12), ("adapters", "The commands", 9)]
)
def test_a_story_of_vectors_alone_runs_as_written(
    skipfill: Skipfill, tmp_path: Path, topic: str, heading: str, lines: int
) -> None:
    """Vectors of both encoders and judgements are all that there is: no encoder is in the store."""
    write_docs(tmp_path)
    story = console_lines(re.split("^## ", PAGES[topic].split(f"## {heading}")[1], flags=re.M)[0])
    assert len(story) == lines
    for line in story:
        words = shlex.split(line)[1:]
        skipfill(*words, expect=None if words[0] == "advise" else 0)
    assert skipfill("status", "docs", "--json").document["version"]["release"] is None


def shell_blocks(topic: str) -> list[str]:
    """The lines for a shell that a page shows: pipes, and commands of other programs."""
    return re.findall(r"```sh\n(.*?)```", PAGES[topic], re.S)


def run_pipe(line: str, first: bytes = b"") -> bytes:
    """The output of a pipe of our commands. Each runs in this process when the one before is done."""
    data = first
    for command in line.split(" | "):
        words, _, file = command.partition(" < ")
        data = (Path(file).read_bytes() if file else data) or data
        if not words.startswith("skipfill"):  # head
            continue
        taken = io.TextIOWrapper(io.BytesIO())
        with pytest.MonkeyPatch.context() as streams, redirect_stdout(taken):
            streams.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
            assert run(shlex.split(words)[1:]) == 0, command
            taken.flush()
        data = taken.buffer.getvalue()  # type: ignore[attr-defined]
    return data


def test_the_pipes_of_the_page_on_formats_run_as_written(skipfill: Skipfill, registered: World, tmp_path: Path) -> None:
    for name, source in {"items": registered.items, "queries": registered.heldout}.items():
        json_lines(pq.read_table(source), tmp_path / f"{name}.jsonl")
    skipfill("gallery", "add", "products", "gallery.parquet", "--space", "v1")
    skipfill("gallery", "add", "olds", "gallery.parquet", "--space", "ada")
    skipfill("train", "minilm", "--items", registered.old_items, "--dim", 8, "--epochs", 1, "--batch", 32)
    skipfill("encode", "minilm", registered.gallery_items, "-o", "new.parquet")
    skipfill("train", "v2", "--gallery", "olds", "--items", "new.parquet", "--method", "procrustes")
    pipes, of_another = shell_blocks("formats")
    printed = [run_pipe(line) for line in pipes.splitlines()]
    assert [json.loads(line)["rank"] for line in printed[1].splitlines()[:3]] == [1, 2, 3]
    assert len(pq.read_table("hits.parquet")) == 10 * len(pq.read_table(registered.heldout))
    program, _, last = of_another.strip().rpartition(" | ")
    run_pipe(last, subprocess.run(program, shell=True, check=True, stdout=subprocess.PIPE, timeout=100).stdout)
    vectors, others = (pq.read_table(f"{name}.parquet") for name in ("vectors", "vectors2"))
    assert vectors.drop_columns("label").equals(others)


def test_the_notes_of_the_page_on_production_are_read_as_written(
    skipfill: Skipfill, with_v2: World, tmp_path: Path
) -> None:
    queries = np.stack(pq.read_table(with_v2.heldout)["vector"].to_pylist()).astype(np.float32)
    with released(".skipfill", "things") as served:
        served.compare(queries, "v2", "shadow")
    (line,) = shell_blocks("production")
    code, out, err = shell(line.strip(), tmp_path)
    assert (code, "v2" in out) == (0, True), err


def test_the_guide_shows_its_pages(skipfill: Skipfill) -> None:
    listed = skipfill("guide").out
    for topic in TOPICS:
        assert topic in listed
        assert skipfill("guide", topic).out == page(topic)
    assert "nearest: gate" in skipfill("guide", "gates", expect=2).err


def test_the_version(skipfill: Skipfill) -> None:
    assert skipfill("--version").out == f"skipfill {version('skipfill')}\n"
