"""Settings of methods and encoders by --set: typed, recorded, and refused when wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.methods.registry import METHODS, TRAINED
from skipfill.compat.methods.simplex import SimplexMethod
from skipfill.compat.settings import settable
from skipfill.compat.training.overrides import checked_settings, read_settings
from skipfill.store.errors import BadInput
from tests.conftest import Skipfill, World, spawn

SHORT = ("--epochs", 1, "--batch", 64, "--quiet")
SIMPLEX = {name: ("--set", f"{name}.classes=16") for name, kind in TRAINED.items() if issubclass(kind, SimplexMethod)}


def recipe(skipfill: Skipfill, model: str, *root: object) -> dict[str, Any]:
    found: dict[str, Any] = skipfill(*root, "model", "show", model, "--json").document["model"]["recipe"]
    return found


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_every_method(skipfill: Skipfill, world: World, name: str) -> None:
    """From the command line, against a gallery of its own kind, to vectors in the old space."""
    kind = TRAINED[name]
    skipfill("init")
    first = (name, *SIMPLEX[name]) if kind.on_simplex else ("independent", "--dim", 8)
    skipfill("train", "v1", "--items", world.old_items, "--method", *first, *SHORT)
    skipfill("encode", "v1", world.gallery_items, "-o", "gallery.parquet")
    skipfill("gallery", "add", "things", "gallery.parquet", "--space", "v1")
    if kind.needs_teacher:
        skipfill("train", "teacher", "--items", world.items, "--method", "independent", *SHORT)
    teacher = ("--teacher", "teacher") if kind.needs_teacher else ()
    skipfill(
        *("train", "v2", "--items", world.items, "--gallery", "things", "--method", name, "--json"),
        *(*teacher, *SIMPLEX.get(name, ()), *SHORT),
    )
    card = skipfill("model", "show", "v2", "--json").document["model"]
    assert card["method"] == name
    assert set(card["recipe"]["settings"][name]) == set(settable(kind.settings_type))
    assert all(torch.isfinite(torch.tensor(value)) for value in card["losses"].values())
    assert card["losses"]
    assert ("v1" in card["views"]) == (name != "independent")
    skipfill("encode", "v2", world.heldout, "-o", "queries.parquet")


def test_settings_reach_method_and_encoder_and_the_card(skipfill: Skipfill, registered: World) -> None:
    given = ("--set", "oca.extra_dims=4", "--set", "mlp.hidden=7", "--set", "oca.extra_dims=5")
    skipfill(*("train", "v2", "--items", registered.items, "--gallery", "things", "--method", "oca", *given, *SHORT))
    card = skipfill("model", "show", "v2", "--json").document["model"]
    assert card["dim"] == 8 + 5
    assert card["network"]["encoder"]["settings"]["hidden"] == 7
    assert card["recipe"]["settings"] == {
        "oca": {
            "extra_dims": 5,
            "classification": 5.0,
            "prototypes": 10.0,
            "alignment": 5.0,
            "smoothing": 0.1,
            "transform": True,
            "cosine": True,
        },
        "mlp": {"hidden": 7, "dropout": 0.1},
    }


WRONG = {
    "oca": "expected NAME.FIELD=VALUE",
    "oca.extra_dims": "expected NAME.FIELD=VALUE",
    "ocar.extra_dims=3": r"expected a known method or encoder \(nearest: oca",
    "oca.extra_dim=3": r"expected a known setting of oca \(nearest: extra_dims",
    "oca.extra_dims=many": 'setting oca.extra_dims: expected a whole number of at least 0, found "many"',
    "oca.extra_dims=6.5": "expected a whole number of at least 0, found 6.5",
    "oca.extra_dims=true": "expected a whole number of at least 0, found true",
    "oca.extra_dims=-1": "expected a whole number of at least 0, found -1",
    "oca.transform=maybe": 'expected true or false, found "maybe"',
    "oca.transform=1": "expected true or false, found 1",
    "oca.smoothing=1.5": "expected a number from 0 to 1, found 1.5",
    "bct.scale=0": "expected a number of at least 1e-06, found 0",
    "bct.scale=Infinity": "expected a number of at least 1e-06",
    "hoc.same_class=none": 'expected zero or inf, found "none"',
    "convnet.channels=2": "expected 1 or 3, found 2",
    "mlp.inputs=4": r"expected a known setting of mlp .*, found 'inputs'",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_settings_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=WRONG[text]):
        read_settings([text])


def test_values_have_the_types_of_their_fields() -> None:
    texts = ["bct.scale=20", "bct.cosine=false", "hoc.same_class=inf", "hf.prefix=3", "python.depth=[1, 2]"]
    assert read_settings(texts) == {
        "bct": {"scale": 20.0, "cosine": False},
        "hoc": {"same_class": "inf"},
        "hf": {"prefix": "3"},
        "python": {"depth": [1, 2]},
    }
    with pytest.raises(BadInput, match="expected a whole number"):
        checked_settings({"oca": {"extra_dims": "64"}})


@pytest.mark.parametrize("name", [*METHODS, *ENCODERS])
def test_defaults_are_what_the_field_takes(name: str) -> None:
    kind = METHODS[name].settings_type if name in METHODS else ENCODERS[name].settings_type
    for field in settable(kind).values():
        # -1 stands for the processor's own resampling.
        assert field.default is None or field.accepts(field.default) or field.name == "resample", field


def test_settings_of_what_is_not_used_are_refused(skipfill: Skipfill, world: World) -> None:
    skipfill("init")
    for other in ("bct.scale=3", "convnet.size=16"):
        found = skipfill("train", "v1", "--items", world.items, "--set", other, *SHORT, expect=2)
        assert "a method or encoder that this training uses: independent, mlp, found settings of" in found.err
    assert not (Path(".skipfill") / "models").exists()


def test_a_run_with_other_settings_does_not_resume(skipfill: Skipfill, world: World, tmp_path: Path) -> None:
    """A killed run's checkpoint belongs to the settings of method and encoder that it was made with."""
    skipfill("init")
    arguments = ("train", "v1", "--items", world.items, "--epochs", 10_000, "--quiet")
    running = spawn(*arguments, "--set", "mlp.hidden=9", cwd=tmp_path)
    checkpoint = tmp_path / ".skipfill" / "training" / "v1" / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.kill()
    running.communicate()
    for other in ((), ("--set", "mlp.hidden=10"), ("--set", "mlp.hidden=9", "--set", "independent.scale=9")):
        assert "expected the same settings and items as now" in skipfill(*arguments, *other, expect=2).err


def test_methods_lists_what_set_takes(skipfill: Skipfill) -> None:
    document = skipfill("methods", "--json").document
    parts = {part["name"]: part["settings"] for part in document["methods"] + document["encoders"]}
    assert set(parts) == {*METHODS, *ENCODERS}
    assert {"name": "extra_dims", "expected": "a whole number of at least 0", "default": 32} in parts["oca"]
    shown = skipfill("methods", "--settings").out
    for name, settings in parts.items():
        assert all(f"{name}.{one['name']} " in shown for one in settings)
    texts = [f"{name}.{one['name']}={json.dumps(one['default'])}" for name in METHODS for one in parts[name]]
    assert read_settings([text.replace('"', "") for text in texts])
