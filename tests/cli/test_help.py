"""The help at 80 columns: nothing is cut, every option says its default, and every command is in a panel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from skipfill.cli.app import app
from tests.conftest import Skipfill

WIDTH = 80
FRAME = "\u2500\u2502\u256d\u256e\u2570\u256f"


def commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The group, every command below it, and the words that call it."""
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *words, name)


COMMANDS = dict(commands(get_command(app)))
PAGES: dict[tuple[str, ...], str] = {}
"""Pages that were printed already."""
ids = {words: " ".join(words) or "skipfill" for words in COMMANDS}


@pytest.fixture
def page(skipfill: Skipfill, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function from a command's words to its page of help."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    def shown(words: tuple[str, ...]) -> str:
        key = (*words, os.environ.get("FORCE_COLOR", ""))
        if key not in PAGES:
            PAGES[key] = skipfill(*words, "--help").out
        return PAGES[key]

    return shown


@pytest.mark.parametrize("words", COMMANDS, ids=ids.values())
def test_no_word_of_help_is_cut(page: Any, words: tuple[str, ...]) -> None:
    shown = page(words)
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "\u2026" not in shown
    whole = {word for line in shown.splitlines() for word in line.strip(f"{FRAME} ").split()}
    command = COMMANDS[words]
    texts = [command.help, command.epilog or "", *(one.help or "" for one in command.params)]
    for text in texts:
        assert set(text.replace("`", "").split()) <= whole


@pytest.mark.parametrize("words", COMMANDS, ids=ids.values())
def test_every_parameter_says_what_it_does_and_its_default(page: Any, words: tuple[str, ...]) -> None:
    shown = " ".join(page(words).translate(dict.fromkeys(map(ord, FRAME), " ")).split())
    for one in COMMANDS[words].params:
        assert one.help, one.name
        if one.param_type_name == "option" and not one.is_flag and not one.required:
            told = one.help.replace("`", "")
            after = shown.split(told, 1)[1].split(" --")[0]
            assert any(word in told + after for word in ("Default:", "defaults", "New galleries:")), one.name
        assert "<" not in (one.metavar or ""), one.name


def test_the_type_column_is_narrow(page: Any) -> None:
    """Less than a third of the width is for names and types."""
    for words in (("train",), ("check",), ("policy",)):
        (line,) = [
            line for line in page(words).splitlines() if line.startswith("\u2502 --json") or " --metric" in line
        ][:1]
        assert len(line) - len(line.split("  ", 1)[1].lstrip()) < WIDTH / 3


def test_every_command_is_in_a_panel_on_one_line(page: Any) -> None:
    shown = page(())
    for panel in ("Start", "Train", "Check", "Release and search", "Maintain"):
        assert f"\u256d\u2500 {panel} \u2500" in shown
    assert "Commands" not in shown
    for name in COMMANDS[()].commands:
        assert f"\u2502 {name} " in shown


def test_redirected_help_has_no_styles(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in page(("check",))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in page(("check",))


def test_the_usage_names_what_must_be_given(page: Any) -> None:
    assert page(("check",)).startswith("Usage: skipfill check GALLERY MODEL --items FILE [OPTIONS]\n")
    assert page(("report",)).startswith("Usage: skipfill report GALLERY [CHECK] [OPTIONS]\n")
    assert page(("gallery", "append")).startswith("Usage: skipfill gallery append GALLERY FILES... [OPTIONS]\n")
