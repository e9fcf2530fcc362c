"""Names of galleries, models and spaces: they become object keys, so they may not leave the store."""

from __future__ import annotations

import re

from skipfill.store.errors import BadInput

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def valid_name(kind: str, name: str) -> str:
    """Return `name` if it is 1 to 64 letters, digits, `.`, `_` or `-`, starting with a letter or digit.

    Raises:
        BadInput: for anything else, such as a path.
    """
    if _ALLOWED.fullmatch(name) is None or ".." in name:
        raise BadInput(
            f"{kind} name",
            expected="1-64 letters, digits, '.', '_' or '-' with no '..' and no '/'",
            found=repr(name),
            hint="Choose a plain name such as 'products' or 'v2'.",
        )
    return name
