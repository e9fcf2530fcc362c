"""The packages of skipfill and their Python files, for tests that read code."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "compat", "store")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
