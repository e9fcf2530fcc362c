"""The Dockerfile, by its text: the instructions themselves need a daemon."""

from __future__ import annotations

import re
import tomllib

from tests.sources import PACKAGES, ROOT

TEXT = (ROOT / ".github" / "docker" / "Dockerfile").read_text()
INSTRUCTIONS = [
    (line.split()[0], line.split(maxsplit=1)[1])
    for line in re.sub(r"\\\n\s*", "", TEXT).splitlines()
    if line and not line.startswith("#")
]


def given(name: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def test_it_installs_the_wheel_with_the_tested_versions_as_the_readme_does() -> None:
    installs = [rest for rest in given("RUN") if "pip install" in rest]
    assert len(installs) == 1
    assert "-c /constraints.txt" in installs[0]
    assert "/wheels/*.whl" in installs[0]
    assert any(rest.startswith(".ci/constraints.txt ") for rest in given("COPY"))
    assert "pip install -c .ci/constraints.txt ." in (ROOT / "README.md").read_text()


def test_it_copies_all_that_the_wheel_is_built_from() -> None:
    copied = {word for rest in given("COPY") if "--from" not in rest for word in rest.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert copied == {"pyproject.toml", project["readme"], *project["license-files"], *PACKAGES, ".ci/constraints.txt"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_it_runs_skipfill_as_a_user_without_rights_on_a_volume() -> None:
    names = [name for name, _ in INSTRUCTIONS]
    assert given("USER") == ["skipfill"]
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    assert (given("WORKDIR")[-1], given("VOLUME"), given("ENTRYPOINT")) == ("/data", ["/data"], ['["skipfill"]'])
    python = re.match(r"python:(3\.\d+)-slim", given("FROM")[-1])
    assert python is not None
    assert all(one.startswith(python[0]) for one in given("FROM"))
