"""The page of licences names every package that skipfill itself asks for.

The page has those that they need in turn, too. Their releases are not fixed by .ci/constraints.txt, so no test compares
them: run `python -m tests.programs.licences` before a release.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skipfill.cli.guide.registry import page
from tests.programs.licences import EXTRAS, licence
from tests.sources import ROOT


def test_every_dependency_is_listed_with_its_licence() -> None:
    text = page("licences")
    listed = dict(re.findall(r"^\| ([\w-]+) \| (.+) \| (?:skipfill|extra \w+) \|$", text, re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]:
        name = canonicalize_name(Requirement(requirement).name)
        assert listed[name] == licence(distribution(name)), name
    assert all(told.strip() for told in listed.values())
    for extra in extras.keys() - {*EXTRAS, "test", "bench"}:  # the last two are for work on skipfill
        assert f"`{extra}`" in text
