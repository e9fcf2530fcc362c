"""Flags, then variables SKIPFILL_*, then a file for harmless options only: skipfill.toml here, or beside the store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from skipfill.cli.app import app
from skipfill.cli.configuration import HARMLESS
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.settings import settable
from tests.conftest import Skipfill, World

SHORT = ("--epochs", 1, "--batch", 64, "--quiet")


def recipe(skipfill: Skipfill, model: str, *root: object) -> dict[str, Any]:
    found: dict[str, Any] = skipfill(*root, "model", "show", model, "--json").document["model"]["recipe"]
    return found


def commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below a group, and the words that call it."""
    for name, command in group.commands.items():
        yield (*words, name), command
        if hasattr(command, "commands"):
            yield from commands(command, *words, name)


def options(command: Any) -> Iterator[tuple[str, Any]]:
    """Every long name of every option of a command."""
    for option in command.params:
        if option.param_type_name == "option" and option.name != "help":
            for name in (*option.opts, *option.secondary_opts):
                yield name.removeprefix("--"), option


ROOT = get_command(app)
OPTIONS = [((), *one) for one in options(ROOT)] + [
    (words, *one) for words, command in commands(ROOT) for one in options(command)
]
"""Words of a command, name of an option, the option."""
VALUES = {"epochs": 3, "batch": 3, "lr": 0.5, "weight-decay": 0.5, "seed": 3, "validation": 0.5, "patience": 3}
VALUES |= {"accumulate": 3, "threads": 3, "quiet": True}


@pytest.mark.parametrize("words", dict.fromkeys(one[0] for one in OPTIONS), ids=" ".join)
def test_a_file_sets_harmless_options_and_no_others(skipfill: Skipfill, words: tuple[str, ...]) -> None:
    """Whatever the value, and whether the file lies here or was named."""
    table = f"[{'.'.join(words)}]\n" if words else ""
    command = [*(words or ["status"]), "--help"]
    for name in (name for of, name, _ in OPTIONS if of == words):
        if name in HARMLESS:
            Path("skipfill.toml").write_text(f"{table}{name} = {json.dumps(VALUES.get(name, 'text'))}\n")
            skipfill(*command)
            continue
        for value in ("'text'", "true"):
            Path("skipfill.toml").write_text(f"{table}{name} = {value}\n")
            assert name in skipfill(*command, expect=2).err
        Path("skipfill.toml").rename("other.toml")
        assert name in skipfill("--config", "other.toml", *command, expect=2).err


def test_every_harmless_option_is_one_of_some_command() -> None:
    assert HARMLESS & {name for _, name, _ in OPTIONS} == HARMLESS


REVIEWED = {
    "hf.pooling",  # one of three names
    "hf.prefix",  # put before each text, and kept in the card
}
"""Settings that take any text or object, and may still be in a file."""


def test_settings_that_a_file_may_set_name_no_code_path_or_address() -> None:
    """Numbers, choices and truth values are harmless. A new setting that takes a text fails here: is it as well?"""
    texts = {
        f"{name}.{one.name}"
        for name, kind in {**METHODS, **ENCODERS}.items()
        if name != "python"
        for one in settable(kind.settings_type).values()
        if one.kind in (str, dict)
    }
    assert texts == REVIEWED
    assert [name for name, kind in ENCODERS.items() if kind.any_setting] == ["python"]


def test_the_error_says_where_to_give_it(skipfill: Skipfill) -> None:
    skipfill("init")
    for text, said in {
        "[train]\nencoder = 'python:os:system'": "Give it by --encoder or SKIPFILL_TRAIN_ENCODER.",
        "[set.python]\ncommand = 'echo'": "Give them with --set python.NAME=VALUE, or SKIPFILL_TRAIN_SET.",
        "[swap]\nwithout-check = 'because'": "Give it by --without-check or SKIPFILL_SWAP_WITHOUT_CHECK.",
        "[gallery.drop]\nconfirm = 'things'": "Give it by --confirm or SKIPFILL_GALLERY_DROP_CONFIRM.",
        "[check]\nmargin = 0.9": "What every check of a gallery requires: skipfill policy GALLERY",
        "code = ['python:os:system']": "Give it by --code or SKIPFILL_CODE.",
    }.items():
        Path("skipfill.toml").write_text(f"{text}\n")
        assert said in skipfill("status", expect=2).err


def test_a_file_further_up_is_not_read(
    skipfill: Skipfill, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from a folder above, nor from above the store."""
    (tmp_path / "skipfill.toml").write_text("[train]\nencoder = 'python:os:system'\n")
    inner = tmp_path / "inner" / "most"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    skipfill("init")
    found = skipfill("train", "v1", "--items", world.items, "--epochs", 1)
    assert "skipfill.toml" not in found.err
    assert skipfill("doctor", "--json").document["configuration"] is None


def test_the_file_beside_the_store(
    skipfill: Skipfill, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read where there is none in this folder, and said."""
    skipfill("init")
    beside = tmp_path / "skipfill.toml"
    beside.write_text("[train]\nseed = 5\n")
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(tmp_path / ".skipfill")
    monkeypatch.chdir(link.parent)
    for number, store in enumerate((None, "../.skipfill", "link", tmp_path / ".skipfill" / "." / "models" / "..")):
        options = [] if store is None else ["--store", store]
        found = skipfill("train", f"v{number}", "--items", world.items, "--epochs", 1, *options)
        assert f"Options from {beside}\n" in found.err
        assert recipe(skipfill, f"v{number}")["seed"] == 5
    monkeypatch.setenv("SKIPFILL_STORE", str(tmp_path / ".skipfill"))
    monkeypatch.chdir("/")
    skipfill("train", "v9", "--items", world.items, "--epochs", 1)
    assert recipe(skipfill, "v9")["seed"] == 5
    monkeypatch.chdir(link.parent)
    here = link.parent / "skipfill.toml"
    here.write_text("[train]\nseed = 6\n")
    found = skipfill("train", "v10", "--items", world.items, "--epochs", 1)
    assert f"Options from {here}; {beside} is not read\n" in found.err
    assert recipe(skipfill, "v10")["seed"] == 6
    assert f"{here}; {beside} is not read" in skipfill("doctor").out
    assert skipfill("doctor", "--json").document["configuration"] == str(here)


def test_a_command_without_a_store_reads_none_beside_it(
    skipfill: Skipfill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipfill("init")
    Path("skipfill.toml").write_text("[swap]\nwithout-check = 'because'\n")
    skipfill("methods", expect=2)
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    skipfill("methods")
    skipfill("status", expect=2)


def test_the_file_is_said_unless_quiet_or_json(skipfill: Skipfill, world: World) -> None:
    skipfill("init")
    Path("skipfill.toml").write_text("[train]\nepochs = 1\n[set.mlp]\nhidden = 6\n")
    train = ["train", "v1", "--items", world.items, "--restart"]
    assert "Options from" in skipfill(*train).err
    assert "Options from" not in skipfill("status").err
    assert skipfill("train", "v2", *train[2:], "--quiet").err == ""
    assert "Options from" not in skipfill("train", "v3", *train[2:], "--json").err
    Path("skipfill.toml").write_text("[train]\nepochs = 1\nquiet = true\n")
    assert skipfill("train", "v4", *train[2:]).err == ""


def test_a_file_that_is_none(skipfill: Skipfill) -> None:
    skipfill("init")
    Path("skipfill.toml").write_text("[train]\n" + "#" * 70_000)
    assert "expected a file of options, of at most 65536 bytes, found a larger one" in skipfill("status", expect=2).err
    Path("skipfill.toml").write_text("x = " + "[" * 20_000)
    assert "expected TOML" in skipfill("status", expect=2).err
    Path("skipfill.toml").write_bytes(b"\xff")
    assert "expected TOML" in skipfill("status", expect=2).err
    Path("skipfill.toml").unlink()
    Path("skipfill.toml").mkdir()
    skipfill("status")


def test_flag_environment_file_default(
    skipfill: Skipfill, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipfill("init")
    Path("skipfill.toml").write_text(
        "train = { epochs = 3, batch = 32, lr = 1, seed = 5 }\n"
        "[set.mlp]\nhidden = 6\ndropout = 0\n[set.oca]\nextra_dims = 3\n"
    )
    monkeypatch.setenv("SKIPFILL_TRAIN_EPOCHS", "2")
    monkeypatch.setenv("SKIPFILL_TRAIN_BATCH", "48")
    monkeypatch.setenv("SKIPFILL_TRAIN_LR", "0.001")
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    skipfill("train", "v1", "--epochs", 1, "--items", world.old_items, "--set", "mlp.hidden=7", "--quiet")
    monkeypatch.chdir(tmp_path)
    found = recipe(skipfill, "v1")
    assert (found["epochs"], found["batch"], found["lr"]) == (1, 48, 0.001)  # flag, environment, environment
    assert (found["seed"], found["weight_decay"]) == (5, 1e-4)  # file, default
    assert found["settings"]["mlp"] == {"hidden": 7, "dropout": 0.0}  # flag, file
    assert set(found["settings"]) == {"independent", "mlp"}  # the file's other method does nothing
    assert "presets" not in found


def test_another_file(skipfill: Skipfill, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    skipfill("init")
    Path("skipfill.toml").write_text("[train]\nepoch = 1\n")
    Path("mine.toml").write_text("[train]\nepochs = 1\nid = 'id'\n[gallery.add]\nvector = 'vector'\n")
    skipfill("--config", "mine.toml", "train", "v1", "--items", world.items, "--quiet")
    assert recipe(skipfill, "v1", "--config", "mine.toml")["epochs"] == 1
    skipfill("--config", "mine.toml", "encode", "v1", world.items, "-o", "g.parquet")
    skipfill("--config", "mine.toml", "gallery", "add", "things", "g.parquet", "--space", "v1")
    monkeypatch.setenv("SKIPFILL_CONFIG", "nowhere.toml")
    assert "expected a file that can be read" in skipfill("status", "things", expect=2).err


BROKEN = {
    "[trian]\nepochs = 1": r"skipfill.toml: expected a known table (nearest: train",
    "[gallery.ad]\nvector = 'v1'": "expected a known table (nearest: gallery.add",
    "epochs = 1": "expected a known table",
    "train = 1": "expected a table [train], found train = 1",
    "[train]\nepoch = 1": "skipfill.toml, [train]: expected a known key (nearest: epochs",
    "[train]\nid_column = 'x'": "expected a known key",
    "[train]\nepochs = '1'": "[train] epochs: expected a whole number, found '1'",
    "[train]\nepochs = 1.5": "[train] epochs: expected",
    "[train]\nepochs = -1": "[train] epochs: expected what --epochs takes",
    "[train]\nmethod = 3": "[train] method: expected a string, found 3",
    "[train]\nquiet = 'yes'": "[train] quiet: expected true or false, found 'yes'",
    "[set]\noca = 1": "expected tables such as [set.oca], found",
    "[set.ocar]\nx = 1": "expected a known method or encoder (nearest: oca",
    "[set.oca]\nextra_dim = 1": "expected a known setting of oca (nearest: extra_dims",
    "[set.oca]\nextra_dims = '64'": 'setting oca.extra_dims: expected a whole number of at least 0, found "64"',
    "train": "expected TOML, found",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_wrong_file_is_refused(skipfill: Skipfill, world: World, text: str) -> None:
    skipfill("init")
    Path("skipfill.toml").write_text(text + "\n")
    found = skipfill("train", "v1", "--items", world.items, *SHORT, expect=2)
    assert BROKEN[text] in found.err
    assert found.err.count("\n") == 1
    assert not (Path(".skipfill") / "models").exists()


def test_an_unknown_variable_is_refused(skipfill: Skipfill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKIPFILL_TRAIN_EPOCH", "1")
    found = skipfill("methods", expect=2)
    assert "expected a known variable (nearest: SKIPFILL_TRAIN_EPOCHS" in found.err


def test_a_file_with_a_mark_of_its_encoding_is_read(skipfill: Skipfill) -> None:
    Path("skipfill.toml").write_text("[check]\nquite = true\n", encoding="utf-8-sig")
    assert "expected a known key (nearest: quiet" in skipfill("status", expect=2).err


def test_a_command_without_such_options_says_so(skipfill: Skipfill) -> None:
    Path("skipfill.toml").write_text("[status]\nquiet = true\n")
    said = "[status]: expected no key, because a file may set no option of this command, found 'quiet'"
    assert said in skipfill("status", expect=2).err


def test_a_pipe_is_no_configuration(skipfill: Skipfill) -> None:
    os.mkfifo("mine.toml")
    assert "mine.toml: expected a file, found a pipe" in skipfill("--config", "mine.toml", "status", expect=2).err
