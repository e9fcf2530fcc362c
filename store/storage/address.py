"""Addresses of stores and files: paths on this machine, and URLs on object storage."""

from __future__ import annotations

import shlex
import stat
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from skipfill.store.errors import BadInput, Parameter

# URL scheme -> prefix of the environment variables that its client reads.
SCHEMES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}


@dataclass(frozen=True)
class Url:
    """A place on object storage: `s3://bucket/prefix`, without a slash at its end. Holds no credentials."""

    text: str

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0]

    def __truediv__(self, key: str) -> Url:
        return Url(f"{self.text}/{key}")

    def __str__(self) -> str:
        return self.text


Address = Path | Url


def is_url(given: str) -> bool:
    return "://" in given


def address(given: str, where: object = Parameter("store")) -> Address:
    """A path or, where `given` has a scheme, a place on object storage.

    Args:
        where: the input that was given, for messages.

    Raises:
        BadInput: another scheme, no bucket, or more than bucket and prefix, such as a password.
    """
    if not is_url(given):
        return Path(given)
    try:
        parts = urlsplit(given)
    except ValueError as error:  # brackets that hold no IPv6 address
        raise BadInput(where, expected="a path, or a URL", found="something that only looks like a URL") from error
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise BadInput(
            where,
            expected=f"a path, or a URL such as {', '.join(f'{scheme}://bucket/prefix' for scheme in SCHEMES)}",
            found=f"{parts.scheme}://{parts.hostname or ''}",
            hint="Name a path on this machine, or one of these.",
        )
    if parts.username or parts.password or parts.query or parts.fragment or ".." in parts.path.split("/"):
        raise BadInput(
            where,
            expected=f"{parts.scheme}://bucket/prefix and nothing else",
            found="more, which is not shown: it may be a secret",
            hint=f"Give credentials in the environment: {SCHEMES[parts.scheme]}_...",
        )
    return Url(given.rstrip("/"))


def found_at(path: Path) -> str:
    """Tell what is at a local path: "a file", "a folder", "a pipe or a device"; "" for nothing.

    The path is looked at only once, because a file may be deleted between two looks.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode):
        return "a file"
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"


def to_see_instead(path: Path) -> str:
    """The next step where a local path has no file: the nearest name in its folder, and the command that lists it."""
    try:
        names = sorted(one.name for one in path.parent.iterdir() if not one.name.startswith("."))
    except OSError:
        names = []
    near = [str(path.parent / name) for name in get_close_matches(path.name, names, n=1)]
    return f"{f'Nearest: {near[0]}. ' if near else ''}See which files are there: ls {shlex.quote(str(path.parent))}"
