"""The GitHub Action: its steps run here as GitHub runs them, on a model that passes and on ones that do not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
import xmlschema
import yaml

from tests.conftest import Skipfill, World
from tests.delivery.program import program_on_path
from tests.json_documents import refuse_invalid
from tests.sources import ROOT

ACTION = ROOT / ".github" / "actions" / "check"
DESCRIPTION = yaml.safe_load((ACTION / "action.yml").read_text())
JUNIT = ROOT / "tests" / "fixtures" / "junit.xsd"
EXPRESSION = re.compile(r"\$\{\{ (\w+)\.([\w.-]+) \}\}")


def run_steps(inputs: dict[str, str], folder: Path) -> tuple[int, dict[str, str], str]:
    """Run every `run` step as a runner does; the exit code, the action's outputs, and what was printed.

    A runner sets up Python in the first step, which is another action's; here Python is that of the tests.
    """
    values = {name: str(one.get("default", "")) for name, one in DESCRIPTION["inputs"].items()}
    assert set(inputs) <= set(values)
    values |= inputs
    missing = [name for name, one in DESCRIPTION["inputs"].items() if one.get("required") and not values[name]]
    assert not missing
    outputs: dict[str, dict[str, str]] = {}
    environment, told, code = program_on_path(folder), "", 0
    for number, step in enumerate(DESCRIPTION["runs"]["steps"]):
        if "run" not in step:
            continue
        files = {name: folder / f"{name}-{number}" for name in ("output", "script")}
        files["output"].touch()
        files["script"].write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(files["script"])],
            cwd=folder / resolved(step["working-directory"], values, outputs),
            env={
                **environment,
                "GITHUB_ACTION_PATH": str(ACTION),
                "GITHUB_OUTPUT": str(files["output"]),
                "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
                **{name: resolved(value, values, outputs) for name, value in step.get("env", {}).items()},
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        lines = files["output"].read_text().splitlines()
        outputs[step.get("id", str(number))] = dict(line.split("=", 1) for line in lines)
        told, code = told + done.stdout + done.stderr, done.returncode
        if code:  # later steps are skipped
            break
    return code, {name: resolved(one["value"], values, outputs) for name, one in DESCRIPTION["outputs"].items()}, told


def resolved(text: str, inputs: dict[str, str], outputs: dict[str, dict[str, str]]) -> str:
    """A text with the values of its expressions."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "inputs":
            return inputs[match[2]]
        step, kind, name = match[2].split(".")
        assert (match[1], kind) == ("steps", "outputs")
        return outputs.get(step, {}).get(name, "")

    return EXPRESSION.sub(value, text)


@pytest.fixture
def inputs(skipfill: Skipfill, with_v2: World) -> dict[str, str]:
    """Inputs of the action for a store whose policy asks nothing of unseen classes; v2 passes."""
    skipfill("policy", "things", "--metric", "mAP", "--accept-worse", "unseen")
    return {"gallery": "things", "model": "v2", "items": "known.parquet", "install": "none"}


@pytest.mark.slow
def test_a_model_that_passes(inputs: dict[str, str], tmp_path: Path) -> None:
    given = {**inputs, "gallery-items": "some.parquet\nmore items.parquet", "html": "check.html"}
    given["json"] = "new folder/check.json"
    items = pq.read_table("gallery_items.parquet")
    pq.write_table(items.slice(0, 100), "some.parquet")
    pq.write_table(items.slice(100), "more items.parquet")
    code, outputs, told = run_steps(given, tmp_path)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (0, "pass", "0"), told
    document = json.loads(Path(outputs["report"]).read_text())
    refuse_invalid("check", document)
    assert document["check"]["reencoded_rows"] == 384
    xmlschema.XMLSchema(JUNIT).validate("skipfill-check.xml")
    assert "pass" in (tmp_path / "summary.md").read_text()
    assert "::notice title=skipfill%3A v2 on things%3A PASS::" in told
    assert Path("check.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_model_that_fails(inputs: dict[str, str], skipfill: Skipfill, tmp_path: Path) -> None:
    """Its options and requirements are one a line, and no shell reads them."""
    skipfill("train", "v3", "--items", "items.parquet", "--gallery", "things", "--epochs", 1, "--seed", 9)
    (tmp_path / "inner").mkdir()
    for item in ("gallery.parquet", "known.parquet", ".skipfill"):
        shutil.move(item, tmp_path / "inner" / item)
    given = {"policy": "--margin=0.01\n--not-worse", "options": "--no-save\n--slice\nlabel = 'class-01'; touch x"}
    given |= {"model": "v3", "working-directory": "inner", "junit": "junit.xml"}
    code, outputs, told = run_steps({**inputs, **given}, tmp_path)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (2, "error", "2"), told
    given["options"] = "--no-save\n--slice\nlabel = 'class-01'"
    shutil.rmtree(tmp_path / "programs")
    code, outputs, told = run_steps({**inputs, **given}, tmp_path)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (1, "fail", "1"), told
    assert Path(outputs["report"]).parent == tmp_path / "inner"
    xmlschema.XMLSchema(JUNIT).validate(tmp_path / "inner" / "junit.xml")
    suites = ElementTree.parse(tmp_path / "inner" / "junit.xml").getroot()
    assert sum(int(suite.attrib["failures"]) for suite in suites) > 0
    assert "label = 'class-01'" in Path(outputs["report"]).read_text()
    assert "fail" in (tmp_path / "summary.md").read_text()
    assert not (tmp_path / "inner" / "x").exists()


@pytest.mark.slow
def test_a_bundle_is_added_first(inputs: dict[str, str], skipfill: Skipfill, tmp_path: Path) -> None:
    skipfill("model", "export", "v2", "-o", "candidate.skipfill")
    code, outputs, told = run_steps({**inputs, "model": "candidate", "bundle": "candidate.skipfill"}, tmp_path)
    assert (code, outputs["verdict"]) == (0, "pass"), told
    shutil.rmtree(tmp_path / "programs")
    code, outputs, told = run_steps({**inputs, "model": "other", "bundle": "known.parquet"}, tmp_path)
    assert (code, outputs["verdict"], outputs["exit-code"]) == (2, "error", "2"), told


def test_actions_of_others_are_pinned_and_steps_hold_no_input() -> None:
    """An expression in a script would be run as code: inputs come as variables."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    steps = [*DESCRIPTION["runs"]["steps"], *(step for job in workflow["jobs"].values() for step in job["steps"])]
    for step in steps:
        assert "${{" not in step.get("run", "")
        if "uses" in step and not step["uses"].startswith("./"):
            assert re.fullmatch(r"actions/[\w-]+@(v\d+|[0-9a-f]{40})", step["uses"])
        if step.get("uses") == "./.github/actions/check":
            assert set(step["with"]) <= set(DESCRIPTION["inputs"])
            assert {name for name, one in DESCRIPTION["inputs"].items() if one.get("required")} <= set(step["with"])
    assert workflow["permissions"] == {"contents": "read"}
