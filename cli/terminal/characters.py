"""The boundary that text crosses on its way out: no control character of a file, a card or a user is printed.

Everything printed or written into a report goes through `visible`: by `printing.py`, and by each form of report.
"""

from __future__ import annotations

import os
import re

_HIDDEN = re.compile(
    "[\0-\x1f\x7f-\x9f"  # C0, DEL and C1
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # what turns the direction of writing
    "\u00ad\u200b\ufeff"  # what takes no room, and makes two names look alike
    "\ud800-\udfff\ufffe\uffff]"  # what UTF-8 or XML 1.0 cannot hold (section 2.2, production 2)
)
_CREDENTIALS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/]+@")
_SECRET = re.compile(r".*(SECRET|TOKEN|PASSWORD|_KEY)", re.IGNORECASE)
_SHORTEST = 8
"""Shorter values are not secrets, and hiding them would damage other words."""


def visible(text: str) -> str:
    r"""Return `text` with every character that could steer a terminal, a log or a reader written out, as in `\x1b`."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def one_line(text: str) -> str:
    """The same, with runs of blanks as single spaces: where a format would do so in its own way."""
    return " ".join(visible(text).split())


def redacted(text: str) -> str:
    """Return an error's text without credentials: those in URLs, and values of secret variables of the environment."""
    text = _CREDENTIALS.sub(r"\1***@", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _SECRET.fullmatch(name):
            text = text.replace(value, "***")
    return text
