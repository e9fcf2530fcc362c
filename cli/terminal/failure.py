"""The one form of an error: a line on stderr and, with `--json`, a document on stdout.

Signals say it too, before anything that takes time is imported: nothing is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

SCHEMA_VERSION = 1
"""Version of the form of every JSON document that a command prints."""
TRAINING = ("train", "demo")
"""The commands that train a model."""


def go_on(arguments: Sequence[str]) -> str:
    """The hint after an interruption of the command with these arguments."""
    resumes = any(word in TRAINING for word in arguments)
    return "Run the same command again" + ("; a training resumes after its last finished epoch." if resumes else ".")


def line(said: str, hint: str) -> str:
    return f"error: {joined(said, hint)}"


def joined(said: str, hint: str) -> str:
    """An error and its hint on one line, as sentences."""
    end = "" if said.endswith((".", "!", "?")) or not hint else "."
    return f"{said}{end} {hint}".rstrip()


def document(said: str, hint: str, exit_code: int) -> str:
    return json.dumps({"schema_version": SCHEMA_VERSION, "error": said, "hint": hint, "exit_code": exit_code})
