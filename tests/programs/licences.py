"""Writes `cli/guide/licences.md`: the licences of what skipfill installs, by the metadata of the installed packages.

pip install -c .ci/constraints.txt '.[hf,ann,onnx,report]'
python -m tests.programs.licences
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.sources import ROOT

PAGE = ROOT / "cli" / "guide" / "licences.md"
EXTRAS = ("hf", "ann", "onnx", "report")
NOT_LISTED = re.compile(r"nvidia-|cuda-|triton$")
"""Parts of other builds of torch than the one for a CPU."""
INTRODUCTION = """\
# Licences

skipfill is under Apache-2.0. Its demo's drawings are from Omniglot (MIT). The table lists the packages that it installs
with the CPU build of torch, with the licence that each package's metadata states. Other builds of torch also install
NVIDIA's libraries, under NVIDIA's terms. The extra `ray` installs Ray (Apache-2.0) and what Ray needs; these are not
listed. `tests/programs/licences.py` in the repository writes this page.

| package | licence | needed by |
|---|---|---|
"""


def runtime() -> dict[str, str]:
    """Every package that an installation has -> `skipfill`, or the extra that first needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed: dict[str, str] = {}
    groups = {"skipfill": project["dependencies"]}
    groups |= {f"extra {extra}": project["optional-dependencies"][extra] for extra in EXTRAS}
    for group, requirements in groups.items():
        waiting = [Requirement(one) for one in requirements]
        while waiting:
            one = waiting.pop()
            name = canonicalize_name(one.name)
            if name in needed or NOT_LISTED.match(name):
                continue
            needed[name] = group
            waiting += _required(name, one.extras)
    return needed


def _required(name: str, extras: set[str]) -> list[Requirement]:
    """The requirements of an installed package on this system."""
    try:
        requirements = [Requirement(one) for one in distribution(name).requires or ()]
    except PackageNotFoundError:
        raise SystemExit(f"{name} is not installed: see the docstring of this program") from None
    return [
        one
        for one in requirements
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
    ]


def licence(package: Distribution) -> str:
    """The licence of a package by its metadata, on one line."""
    told = package.metadata
    expression = told.get("License-Expression")
    if expression:
        return str(expression)
    classified = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier") or () if one.startswith("License ::")]
    return "; ".join(classified) or str(told.get("License", "")).strip().partition("\n")[0]


def page() -> str:
    rows = [f"| {name} | {licence(distribution(name))} | {group} |" for name, group in sorted(runtime().items())]
    return INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
