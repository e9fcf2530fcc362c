"""The `skipfill` program in a folder, for shells that tests start."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def program_on_path(folder: Path) -> dict[str, str]:
    """An environment whose PATH begins with a folder of two programs: `skipfill`, and the Python of the tests."""
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "skipfill"
    program.write_text(f"#!{sys.executable}\nfrom skipfill.cli.__main__ import main\nmain()\n")
    program.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SKIPFILL_", "GITHUB_"))}
    return {**environment, "PATH": f"{programs}:{os.environ['PATH']}"}
