"""The wheel and the sdist: each file of the packages is in them, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.conftest import made_once
from tests.sources import PACKAGES, ROOT

BUILD = "from setuptools.build_meta import build_sdist, build_wheel; build_sdist('built'); build_wheel('built')"
BESIDE = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel and an sdist, built from a copy of the repository by the installed setuptools."""

    def make(folder: Path) -> None:
        ignore = shutil.ignore_patterns("__pycache__")
        for package in (*PACKAGES, "tests"):
            shutil.copytree(ROOT / package, folder / package, ignore=ignore)
        for name in BESIDE:
            shutil.copy(ROOT / name, folder)
        subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, capture_output=True, timeout=120)

    return made_once(tmp_path_factory, "wheel", make) / "built"


def sources() -> set[str]:
    """Every file of the packages in the repository."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def test_the_wheel_has_every_file_of_the_packages_and_no_other(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == {f"skipfill/{name}" for name in sources()}
    assert {Path(name).name for name in metadata} >= {"LICENSE", "METADATA", "entry_points.txt"}
    for needed in ("cli/guide/tutorial.md", "cli/documents/schemas/check.json", "cli/demo_data/omniglot.parquet"):
        assert f"skipfill/{needed}" in names
    for package in PACKAGES:
        assert f"skipfill/{package}/py.typed" in names


def test_the_sdist_has_what_an_installation_needs_and_no_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO", "setup.cfg"}
    assert names - made == sources() | set(BESIDE)


def test_the_version_stands_in_one_place(built: Path) -> None:
    """In pyproject.toml; the program asks the metadata of its installation."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (built / f"skipfill-{told}-py3-none-any.whl").exists()
    assert version("skipfill") == told
    for name in sources():
        if name.endswith((".py", ".md")):
            assert f'"{told}"' not in (ROOT / name).read_text()
