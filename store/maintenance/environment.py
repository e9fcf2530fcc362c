"""The environment: Python, the system, and the versions of packages, none of which is imported."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

CORE = ("duckdb", "numpy", "obstore", "pillow", "pyarrow", "rich", "safetensors", "scipy", "torch", "typer")
EXTRAS = {"ann": ("faiss-cpu",), "hf": ("sentence-transformers", "transformers"), "report": ("matplotlib",)}


@dataclass(frozen=True)
class Environment:
    """Attributes:
    system: operating system, release and machine.
    packages: what skipfill needs -> its version; empty where it is missing.
    extras: optional extra -> its packages and their versions, likewise.
    """

    skipfill: str
    python: str
    system: str
    packages: dict[str, str]
    extras: dict[str, dict[str, str]]

    @property
    def missing(self) -> list[str]:
        return [name for name, installed in self.packages.items() if not installed]


def environment() -> Environment:
    return Environment(
        _version("skipfill"),
        platform.python_version(),
        platform.platform(terse=True),
        {name: _version(name) for name in CORE},
        {extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()},
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
