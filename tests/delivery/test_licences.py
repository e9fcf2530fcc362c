"""The page of licences names every package that an installation has."""

from __future__ import annotations

import re
from importlib.metadata import distribution

from skipfill.cli.guide.registry import page
from tests.programs.licences import licence, runtime


def test_every_runtime_dependency_is_listed_with_its_licence() -> None:
    """After a change that is meant: python -m tests.programs.licences"""
    listed = dict(re.findall(r"^\| ([\w-]+) \| (.+) \| (?:skipfill|extra \w+) \|$", page("licences"), re.M))
    for name, group in runtime().items():
        assert name in listed, f"{name}, needed by {group}"
    # The versions of these are fixed by .ci/constraints.txt.
    for name in ("duckdb", "numpy", "obstore", "pillow", "pyarrow", "rich", "safetensors", "scipy", "typer"):
        assert listed[name] == licence(distribution(name))
    assert all(told.strip() for told in listed.values())
