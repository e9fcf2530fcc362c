"""JSON Schemas: they are those of the code, every form that they know is printed, and nothing else fits.

What all other tests print with `--json` is held against them too: see the fixture `skipfill`.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.main import get_command

from skipfill.cli.app import app
from skipfill.cli.configuration import HARMLESS
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.settings import settable
from skipfill.compat.training.overrides import checked_settings
from skipfill.store.errors import BadInput
from tests.conftest import Skipfill, World, spawn
from tests.json_documents import command_of, refuse_invalid, validate_output, validator
from tests.programs.schemas import FOLDER, schemas

SCHEMAS = schemas()
NOT_OF_COMMANDS = {"error", "plan-file", "training-log", "skipfill.toml"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_the_one_of_the_code(name: str) -> None:
    """After a change that is meant: python -m tests.programs.schemas"""
    assert json.loads((FOLDER / f"{name}.json").read_text()) == SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


def test_there_is_a_schema_for_each_command_that_prints_json() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SCHEMAS)
    printing = {name for name, command in leaves(get_command(app)) if any(one.name == "json" for one in command.params)}
    assert printing == set(SCHEMAS) - NOT_OF_COMMANDS


def leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command, with its name in the schemas."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name}-")
        else:
            yield f"{prefix}{name}", command


def test_the_command_prints_the_files(skipfill: Skipfill) -> None:
    listed = skipfill("schema", "--json").document["schemas"]
    assert [one["name"] for one in listed] == sorted(SCHEMAS)
    assert skipfill("schema", "gallery", "show").out == (FOLDER / "gallery-show.json").read_text()
    assert skipfill("schema", "gallery-show", "--json").document["schema"] == SCHEMAS["gallery-show"]
    assert "gallery-show" in skipfill("schema").out
    assert "nearest: check" in skipfill("schema", "chek", expect=2).err


@cache
def validator_of(name: str, form: str) -> jsonschema.Draft202012Validator:
    """The validator of one form of a schema."""
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{form}", "$defs": SCHEMAS[name]["$defs"]})


def forms(name: str, document: dict[str, Any]) -> set[str]:
    """The forms of a schema that a document has."""
    return {form for form in forms_of(SCHEMAS[name]) if validator_of(name, form).is_valid(document)}


def forms_of(schema: dict[str, Any]) -> list[str]:
    """The names of the forms that a schema knows."""
    return [one["$ref"].rpartition("/")[2] for one in schema.get("anyOf", [schema]) if "$ref" in one]


ELSEWHERE = {("demo", "DemoDocument"), ("error", "ErrorDocument")}
"""Forms that other tests print: they take longer, or they are an error's."""
STORY = [
    ["schema"],
    ["schema", "check"],
    ["guide"],
    ["guide", "gate"],
    ["methods"],
    ["init", "--store", "other"],
    ["doctor"],
    ["prune"],
    ["train", "v3", "--items", "items.parquet", "--gallery", "things", "--epochs", 1, "--log", "log.ndjson"],
    ["blend", "both", "--new", "v2", "--old", "v1", "--items", "heldout.parquet"],
    ["encode", "v1", "heldout.parquet", "-o", "more.parquet"],
    ["model", "list"],
    ["model", "show", "v2"],
    ["model", "export", "v2", "-o", "v2.skipfill"],
    ["model", "export", "v2", "--format", "safetensors", "-o", "v2-safetensors"],
    ["model", "add", "v2.skipfill", "--store", "other"],
    ["model", "drop", "v3", "--confirm", "v3", "--dry-run"],
    ["gallery", "list"],
    ["gallery", "show", "things"],
    ["gallery", "verify", "things"],
    ["gallery", "verify", "things", "--deep"],
    ["gallery", "add", "others", "more.parquet", "--space", "v1"],
    ["gallery", "append", "others", "gallery.parquet"],
    ["gallery", "refresh", "others", "gallery.parquet"],
    ["gallery", "drop", "others", "--confirm", "others"],
    ["policy", "things", "--metric", "mAP", "--accept-worse", "unseen"],
    ["matrix", "v1", "v2", "--items", "heldout.parquet", "--gallery-items", "gallery_items.parquet"],
    ["advise", "things", "--candidate", "v2", "--items", "known.parquet"],
    ["check", "things", "v2", "--items", "known.parquet", "--index", "hnsw", "--threshold", 0.5],
    ["report", "things"],
    ["plan", "things", "v2", "-o", "plan.json"],
    ["plan", "things", "v2", "-o", "-"],
    ["swap", "things", "v2"],
    ["swap", "things", "v2"],
    ["search", "things", "--items", "heldout.parquet", "-k", 2],
    [
        "search",
        "things",
        "--items",
        "known.parquet",
        "-k",
        2,
        "--rerank",
        5,
        "--gallery-items",
        "gallery_items.parquet",
    ],
    ["status"],
    ["status", "things"],
    ["rollback", "things"],
    ["check", "things", "v2", "--items", "known.parquet", "--gallery-items", "gallery_items.parquet", "--rerank", 5],
    ["history", "things"],
    ["overlay", "add", "things", "v2", "--items", "unlabelled.parquet"],
    ["overlay", "add", "things", "v2", "--items", "gallery_items.parquet"],
    ["overlay", "list"],
    ["overlay", "show", "things", "v2"],
    ["overlay", "verify", "things", "v2"],
    ["overlay", "rollback", "things", "v2"],
    ["overlay", "drop", "things", "v2"],
]


def test_a_life_cycle_prints_every_form(skipfill: Skipfill, with_v2: World, tmp_path: Path) -> None:
    """One store, every command. A document has one form of its schema, and none with a key more, or one less."""
    seen = set()
    for words in STORY:
        document = skipfill(*words, "--json", expect=None).document
        name = command_of([str(word) for word in words]).replace(" ", "-")
        (form,) = forms(name, document)
        assert form != "ErrorDocument", f"{words}: {document}"
        seen.add((name, form))
        assert not forms(name, {**document, "unknown": None})
        # Without its key, a document may still have another form, but not its own.
        for key in set(document) - {"rerank"}:
            assert not validator_of(name, form).is_valid({one: document[one] for one in document if one != key})
    watching = spawn("status", "things", "--watch", "--json", cwd=tmp_path)
    line = watching.stdout.readline() if watching.stdout else ""
    watching.send_signal(signal.SIGINT)
    watching.communicate()
    seen |= {("status", form) for form in forms("status", json.loads(line))}
    refuse_invalid("plan-file", json.loads(Path("plan.json").read_text()))
    for line in Path("log.ndjson").read_text().splitlines():
        refuse_invalid("training-log", json.loads(line))
    known = {(name, form) for name, schema in SCHEMAS.items() for form in forms_of(schema)}
    known -= {("plan-file", "Plan"), ("training-log", "Epoch"), *ELSEWHERE}
    assert {(name, form) for name, form in known if form != "ErrorDocument"} == seen


def test_an_unknown_key_or_another_type_fails_any_test(skipfill: Skipfill, with_v2: World) -> None:
    """At every depth of a document, wherever its schema says what belongs there."""
    words = ["check", "things", "v2", "--items", "known.parquet", "--json"]
    out = skipfill(*words, expect=None).out
    validate_output(words, out)
    changes: list[Callable[[Any], object]] = [
        lambda document: document.update(more=1),
        lambda document: document["check"].update(more=1),
        lambda document: document["check"]["slices"][0]["cells"][0]["value"].update(more=1),
        lambda document: document["check"].update(verdict="perhaps"),
        lambda document: document["check"].update(gallery_rows="many"),
        lambda document: document["check"].pop("slices"),
        lambda document: document.update(exit_code=None),
    ]
    for change in changes:
        changed = json.loads(out)
        change(changed)
        with pytest.raises(AssertionError, match="check: "):
            validate_output(words, json.dumps(changed))
    for nonsense in ("PASS", out + out, out.replace("true", "NaN", 1)):
        with pytest.raises(ValueError, match=r"."):
            validate_output(words, nonsense)
    with pytest.raises(AssertionError, match="error: "):
        validate_output(["no-command", "--json"], out)


def test_an_error_fits_the_schema_of_its_command(skipfill: Skipfill) -> None:
    for words in (["status"], ["gallery", "show", "things"], ["no-command"], ["check", "--no-option"]):
        assert skipfill(*words, "--json", expect=2).document["exit_code"] == 2


VALUES = {"boolean": [True, 1, "yes"], "integer": [7, 1.5, -1, True], "number": [0.5, 2, -1, False], "string": ["a", 1]}
"""Values to try by the type that the schema names: some fit, some do not."""


def tables(schema: dict[str, Any], *words: str) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    """Every key of the configuration, with the words of its table and its schema."""
    for name, inner in schema["properties"].items():
        if inner.get("additionalProperties") is False:
            yield from tables(inner, *words, name)
        else:
            yield words, name, inner


def fits(words: tuple[str, ...], name: str, value: object) -> bool:
    """Whether a configuration with this value fits the schema."""
    content: dict[str, Any] = {name: value}
    for word in reversed(words):
        content = {word: content}
    return validator("skipfill.toml").is_valid(content)


KEYS = list(tables(SCHEMAS["skipfill.toml"]))


def test_the_schema_of_the_configuration_takes_the_options_that_the_program_takes(skipfill: Skipfill) -> None:
    options = [key for key in KEYS if key[0][0] != "set"]
    assert {name for _, name, _ in options} == HARMLESS
    for words, name, option in options:
        for value in VALUES[option["type"]]:
            Path("skipfill.toml").write_text(f"[{'.'.join(words)}]\n{name} = {json.dumps(value)}\n")
            taken = skipfill(*words, "--help", expect=None).code == 0
            assert fits(words, name, value) == taken, (words, name, value)
    assert not fits(("check",), "margin", 0.5)


def test_the_schema_of_the_configuration_takes_the_settings_that_the_program_takes() -> None:
    settings = [key for key in KEYS if key[0][0] == "set"]
    assert {words[1] for words, _, _ in settings} == {
        name for name, kind in {**METHODS, **ENCODERS}.items() if name != "python" and settable(kind.settings_type)
    }
    for words, name, setting in settings:
        for value in [*setting["enum"], "other", True] if "enum" in setting else [*VALUES[setting["type"]], 10**9]:
            try:
                checked_settings({words[1]: {name: value}})
                taken = True
            except BadInput:
                taken = False
            assert fits(words, name, value) == taken, (words, name, value)
