"""Characters that no report may hold, though names may: slices are named by values of users' own columns."""

from __future__ import annotations

import re

# All that XML 1.0 does not allow (section 2.2, production 2), C1 controls, and what turns the direction of writing.
_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")


def legible(text: str) -> str:
    """`text` with every character that cannot be shown replaced by U+FFFD."""
    return _ILLEGAL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same with line breaks and runs of blanks as single spaces."""
    return " ".join(legible(text).split())
