"""Permission to run code covers the call that the user gave, its arguments included, and nothing that a bundle says."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skipfill.cli.error_messages import sentence
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.trusted_code import call_text, permit, permit_only, refuse_unpermitted
from skipfill.store.errors import BadInput, NotPermitted
from tests.compat.encoders.samples import block
from tests.compat.inference.bundles import rewritten
from tests.conftest import Skipfill, World

CODE = """
import torch
from pathlib import Path
class Own(torch.nn.Module):
    def __init__(self, out=6, mark=""):
        super().__init__()
        if mark:
            Path(mark).touch()
        self.linear = torch.nn.Linear(16, out)
    def forward(self, batch):
        return self.linear(batch)
"""
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"depth": 3},
    {"depth": 3.5, "wide": True, "names": ["a", "b"], "of": {"b": 1, "a": None}},
    {"text": "a  b, c)(=\" ' \\ \\u0020 \n\t\u2028é python:os:system"},
    {"é": -1e300},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_what_an_error_offers_permits_that_call_and_no_other(arguments: dict[str, Any]) -> None:
    """Given as one flag of a shell, or among others in a variable, which is split at spaces."""
    call = call_text("mine.own:make", arguments)
    permit_only([])
    with pytest.raises(NotPermitted) as error:
        refuse_unpermitted(call)
    offered = sentence(error.value.hint)
    flag = shlex.split(offered.partition("--code ")[2].partition(" COMMAND")[0])
    assert len(flag) == 1
    assert offered.endswith(f"SKIPFILL_CODE={shlex.quote(flag[0])}")
    for given in (flag, f"python:a:b(x=1), {flag[0]} c:d".split(), [f"a:b(x=1),{flag[0]},c:d"]):
        permit_only(given)
        refuse_unpermitted(call)
        for other in ({"depth": 4}, {"depth": True}, {**arguments, "more": 1}):
            with pytest.raises(NotPermitted):
                refuse_unpermitted(call_text("mine.own:make", other))


def test_the_error_names_both_calls() -> None:
    permit_only(["m:f(size=3)", "python:m:g"])
    with pytest.raises(NotPermitted, match=r"permission to run m:f\(size=4\), found permission to run m:f\(size=3\)"):
        refuse_unpermitted("m:f(size=4)")


def test_spaces_between_arguments() -> None:
    permit_only(["m:f(b=1, a = 2)", "m:g()"])
    refuse_unpermitted(call_text("m:f", {"a": 2, "b": 1}))
    refuse_unpermitted("m:g")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "m",
            "m:f(",
            "m:f(1)",
            "m:f(a=1",
            "m:f(a=b)",
            "m:f(a=1,a=2)",
            "m:f(a=1)b:c",
            "m:f)",
            "os:system;a:b",
            "a b:c",
        ),
        "m:f(a=" + "[" * 100_000,
    ],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="code: expected python:MODULE:FACTORY"):
        permit_only([text])


@pytest.mark.parametrize(
    ("factory", "arguments"), [("python:m:f", {}), ("m:f(a=1)", {}), ("m:f\n", {}), ("m:f", {"a=1,b": 2}), ("m", {})]
)
def test_a_bundle_cannot_spell_another_call_alike(factory: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        call_text(factory, arguments)


def test_arguments_of_a_bundle_do_not_run(skipfill: Skipfill, world: World, tmp_path: Path) -> None:
    """A factory that the user permits, called with what the bundle says."""
    name = f"mine_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(CODE)
    skipfill("init")
    skipfill("train", "v1", "--items", world.old_items, "--encoder", f"python:{name}:Own", "--epochs", 1)
    encode = ["encode", "v1", world.heldout, "-o"]
    skipfill("--code", f"python:{name}:Own", *encode, "a.parquet")
    rewritten({"arguments": {"mark": "ran here"}})
    found = skipfill("--code", f"python:{name}:Own", *encode, "b.parquet", expect=2).err
    assert f'expected permission to run {name}:Own(mark="ran\\u0020here"), found permission to run {name}:Own' in found
    assert f"""skipfill --code 'python:{name}:Own(mark="ran\\u0020here")' COMMAND""" in found
    assert not Path("ran here").exists()
    skipfill("--code", f'python:{name}:Own(mark="ran here")', *encode, "b.parquet", expect=None)
    assert Path("ran here").exists()


def test_arguments_of_a_training_are_those_to_permit(
    skipfill: Skipfill, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mine_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(CODE)
    skipfill("init")
    train = ["train", "v1", "--items", world.old_items, "--encoder", f"python:{name}:Own", "--epochs", 1]
    skipfill(*train, "--set", "python.out=3")
    encode = ["encode", "v1", world.heldout, "-o", "a.parquet"]
    assert "expected permission" in skipfill("--code", f"python:{name}:Own", *encode, expect=2).err
    monkeypatch.setenv("SKIPFILL_CODE", f"python:os:getcwd python:{name}:Own(out=3)")
    skipfill(*encode)


def test_the_current_folder_hides_no_installed_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is looked into only once the user named code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    name = f"mine_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(f"import wave\n{CODE}")
    (tmp_path / "wave.py").write_text("raise SystemExit('the one in this folder')")
    described = {"factory": f"{name}:Own", "takes": "vector", "features": 6}
    permit_only([])
    with pytest.raises(NotPermitted):
        ENCODERS["python"].rebuilt(described, lambda name: b"")
    assert str(tmp_path) not in sys.path
    permit(f"{name}:Own")
    sys.modules.pop("wave", None)
    assert ENCODERS["python"].rebuilt(described, lambda name: b"").width == 6
    ENCODERS["python"].for_items(f"{name}:Own", block(np.eye(16, dtype=np.float32)), {})
