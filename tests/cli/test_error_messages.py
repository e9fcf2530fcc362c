"""Errors of the library in the words of the command line."""

from __future__ import annotations

import ast
import re
import shlex
import string
from pathlib import Path

from typer.main import get_command

from skipfill.cli.app import app
from skipfill.cli.error_messages import SENTENCES, message, sentence
from skipfill.cli.guide.registry import TOPICS, page
from skipfill.cli.terminal.next_command import install_command
from skipfill.store.errors import Advice, BadInput, Parameter
from tests.sources import ROOT, SOURCES

LIBRARY = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "cli"]
TRANSLATED = ROOT / "store" / "errors.py"  # says how parameters become flags


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    """Every call of `name`."""
    trees = [(path, ast.parse(path.read_text())) for path in SOURCES]
    nodes = [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(path, node) for path, node in nodes if isinstance(node.func, ast.Name) and node.func.id == name]


def test_every_advice_has_a_sentence_that_takes_its_values_and_every_sentence_is_used() -> None:
    used = set()
    for path, call in calls("Advice"):
        assert isinstance(call.args[0], ast.Constant), path
        key = call.args[0].value
        wanted = {name for _, name, _, _ in string.Formatter().parse(SENTENCES[key]) if name}
        assert wanted == {one.arg for one in call.keywords}, f"{path}, {key}"
        used.add(key)
    assert used == SENTENCES.keys()


def test_every_parameter_is_a_flag_of_some_command() -> None:
    flags: set[str] = set()

    def collect(command: object) -> None:
        for one in getattr(command, "params", []):
            flags.update(one.opts)
        for inner in getattr(command, "commands", {}).values():
            collect(inner)

    collect(get_command(app))
    for path, call in calls("Parameter"):
        if isinstance(call.args[0], ast.Constant):
            shown = message(BadInput(Parameter(call.args[0].value), expected="one", found="none")).split(":")[0]
            assert shown in flags, f"{path}: {shown}"


COMMANDS = "|".join(["gallery", *(one.name or "" for one in app.registered_commands), "model"])
WORDS = re.compile(rf"(?<![\w-])--[a-z]|\bskipfill ({COMMANDS})\b|\bSKIPFILL_[A-Z]")


def test_the_library_knows_no_words_of_the_command_line() -> None:
    """Flags, commands and variables of the environment, in strings and docstrings."""
    for path in LIBRARY:
        if path == TRANSLATED:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not WORDS.search(node.value), f"{path.relative_to(ROOT)}, line {node.lineno}: {node.value!r}"


def test_messages() -> None:
    error = BadInput(Parameter("hold_out", "x.parquet"), expected="ids", found="none", hint=Advice("see_models"))
    assert str(error) == "hold_out x.parquet: expected ids, found none"
    assert message(error) == "--hold-out x.parquet: expected ids, found none"
    assert sentence(error.hint) == "See: skipfill model list"
    assert sentence("Restore it from a copy.") == "Restore it from a copy."


def test_an_extra_is_installed_into_the_copy_that_runs(tmp_path: Path) -> None:
    """A checkout has the versions that it was tested with; it stays a checkout."""
    installed, checkout = tmp_path / "site-packages" / "skipfill", tmp_path / "my checkout"
    assert install_command("hf", installed) == "pip install 'skipfill[hf]'"
    (checkout / ".ci").mkdir(parents=True)
    (checkout / ".ci" / "constraints.txt").touch()
    words = shlex.split(install_command("hf", checkout))
    assert words == ["pip", "install", "-c", f"{checkout}/.ci/constraints.txt", "-e", f"{checkout}[hf]"]
    assert install_command("hf") in ("pip install 'skipfill[hf]'", install_command("hf", ROOT))


def test_pages_for_users_install_extras_into_installed_copies() -> None:
    """Those on the repository itself are the only ones that name its files."""
    for topic in TOPICS.keys() - {"benchmarks", "extending"}:
        assert "'.[" not in page(topic), topic
