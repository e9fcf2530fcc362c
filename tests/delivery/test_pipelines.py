"""The recipes of `skipfill guide pipelines`: their files parse, and their commands run as written."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from skipfill.cli.guide.registry import page
from tests.conftest import Skipfill, World
from tests.sources import ROOT

PAGE = page("pipelines")


def block(heading: str, language: str) -> str:
    """The first block of a language under a heading."""
    found = re.search(rf"## {heading}\n.*?```{language}\n(.*?)```", PAGE, re.S)
    assert found
    return found[1]


def run_line(skipfill: Skipfill, line: str, expect: int | None = 0) -> None:
    """Run the commands of a shell line one by one, in this process; an output may go to a file."""
    for part in line.split("&&"):
        words = shlex.split(part)
        if "skipfill" not in words:
            assert words[0] == "cd", part
            continue
        command, _, rest = (words := words[words.index("skipfill") + 1 :]), None, []
        if ">" in words:
            command, rest = words[: words.index(">")], words[words.index(">") + 1 :]
        done = skipfill(*command, expect=expect)
        for file in rest:
            Path(file).write_text(done.out)


@pytest.fixture
def products(skipfill: Skipfill, with_v2: World) -> None:
    """A store with gallery `products`, for which v2 passes, and files of the names that the recipes use."""
    shutil.copy("known.parquet", "heldout.parquet")
    skipfill("gallery", "add", "products", "gallery.parquet", "--space", "v1")
    skipfill("policy", "products", "--metric", "mAP", "--accept-worse", "unseen")


def test_the_workflow_uses_inputs_of_the_action() -> None:
    workflow = yaml.safe_load(block("GitHub Actions", "yaml"))
    action = yaml.safe_load((ROOT / ".github" / "actions" / "check" / "action.yml").read_text())
    (step,) = [one for one in workflow["jobs"]["check"]["steps"] if "actions/check@" in one["uses"]]
    assert set(step["with"]) <= set(action["inputs"])
    assert action["inputs"]["junit"]["default"] == workflow["jobs"]["check"]["steps"][-1]["with"]["path"]


def test_lines_for_any_ci_run(skipfill: Skipfill, products: None) -> None:
    skipfill("model", "export", "v2", "-o", "candidate.skipfill")
    shutil.copy("gallery_items.parquet", "items.parquet")
    for line in block("GitHub Actions", "console").splitlines():
        run_line(skipfill, line)


def test_the_lines_for_cron_run(skipfill: Skipfill, products: None) -> None:
    lines = [line for line in block("cron", "text").splitlines() if "skipfill " in line]
    assert len(lines) == 3
    for line in lines:
        assert re.match(r"[\d*]+ +[\d*]+( [\d*]+){3} cd ", line)
        run_line(skipfill, line.split(maxsplit=5)[5])


def test_the_dag_for_airflow_parses_and_its_commands_run(skipfill: Skipfill, products: None) -> None:
    tree = ast.parse(block("Airflow", "python"))
    (steps,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    ]
    assert list(steps) == ["refresh", "check", "swap"]
    for line in steps.values():
        run_line(skipfill, line)
    assert skipfill("status", "products", "--json").document["version"]["release"]["model"] == "v2"
    assert "--reason" not in steps["swap"]  # it would bring back what was rolled back


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


def test_the_stages_for_dvc_run(skipfill: Skipfill, products: None) -> None:
    stages = yaml.safe_load(block("DVC", "yaml"))["stages"]
    for stage in stages.values():
        assert set(stage) <= {"cmd", "deps", "params", "outs", "metrics"}
        for file in stage["deps"]:
            assert Path(file).exists()
        run_line(skipfill, stage["cmd"].replace("${tag}", "7"), expect=None)
        for file in [*stage.get("outs", ()), *stage.get("metrics", ())]:
            assert Path(file).exists()
    assert json.loads(Path("check.json").read_text())["check"]["model"] == "v2-7"


def test_the_container_of_the_page_is_that_of_the_dockerfile() -> None:
    text = block("Docker", "text")
    assert (ROOT / ".github" / "docker" / "Dockerfile").exists()
    assert "-f .github/docker/Dockerfile" in text
    assert ':/data"' in text
