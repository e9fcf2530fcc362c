"""Takes each rule of admission away in turn, and says which tests of admission notice.

Run it with: python -m tests.programs.gate_mutations [--first] [RULE ...]. With --first, the first test that notices is
enough. It ends with exit code 1 where nothing notices.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from skipfill.compat.gate.admission import registry

TESTS = "tests/compat/gate/test_admission.py"
PLUGIN = "tests.programs.gate_mutations"
REMOVED = "SKIPFILL_TESTS_RULE_REMOVED"


def rules() -> dict[str, dict[str, Any]]:
    """Every rule by name, with the list that it is in."""
    lists = [value for name, value in vars(registry).items() if name.startswith("OF_")]
    return {name: rules_of_step for rules_of_step in lists for name in rules_of_step}


def pytest_configure() -> None:
    """Take away the rule that the environment names; pytest loads this as a plugin."""
    if name := os.environ.get(REMOVED):
        del rules()[name][name]


def noticed_by(name: str, *options: str) -> list[str]:
    """The tests that fail without the rule; `options` are for pytest."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-rfE", "--tb=no", *options, TESTS],
        capture_output=True,
        text=True,
        env={**os.environ, REMOVED: name},
        cwd=Path(__file__).parents[2],
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    return [line.split("::")[1].split(" - ")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")]


def main(arguments: list[str]) -> int:
    unnoticed, options = [], ["-x"] if "--first" in arguments else []
    for name in [one for one in arguments if one != "--first"] or rules():
        failed = noticed_by(name, *options)
        print(f"{name}: {', '.join(failed) or 'NOTHING'}", flush=True)
        unnoticed += [] if failed else [name]
    print(f"{len(unnoticed)} rules that no test needs" if unnoticed else "each rule is needed by a test")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
