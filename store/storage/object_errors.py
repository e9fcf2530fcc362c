"""Errors of reading and writing objects, in words that reveal no key, no token and no request."""

from __future__ import annotations

import errno
import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from skipfill.store.errors import Advice, BadInput, Hint, reason
from skipfill.store.storage.address import Address, Url
from skipfill.store.storage.new_name import NoNewNames

_STATUS = re.compile(r"status code: (\d{3}) ([A-Z][A-Za-z ]*)")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")  # the storage's own word, such as SlowDown
_RETRIES = re.compile(r"after (\d+) retries")
_KIND = re.compile(r"\bkind: (Connect|Timeout|Request|Interrupted|Decode|Builder|Body)\b")
_KINDS = {
    "Connect": "no connection",
    "Timeout": "no answer in time",
    "Request": "a dropped connection",
    "Interrupted": "a dropped connection",
    "Decode": "an incomplete answer",
    "Body": "an incomplete answer",
    "Builder": "an address that cannot be used",
}
READ, WRITE = "a store that can be read", "a store that can be written to"
_AGAIN = "Nothing was lost: run the same command again."
_LOOK = Advice("look_and_repeat")
_RIGHTS = "Check the credentials in the environment and what they permit on this bucket."
# After an error without an entry here, a write may have arrived all the same.
_HINTS: dict[str, Hint] = {
    "400": _AGAIN,
    "401": _RIGHTS,
    "403": _RIGHTS,
    "404": Advice("make_bucket"),
    "429": _AGAIN,
    "503": _AGAIN,
    "Builder": "For an endpoint that is not https, set AWS_ALLOW_HTTP=true.",
}


def unreachable(where: Address, expected: str, error: Exception) -> BadInput:
    """The error for an object that could not be read or written."""
    if isinstance(where, Url):
        found, hint = _remote(str(error), error)
        return BadInput(where, expected=expected, found=found, hint=hint or (_LOOK if expected == WRITE else _AGAIN))
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    hint = "Make room" if full else "Check the folder's permissions" + (" and free space" if expected == WRITE else "")
    if isinstance(error, NoNewNames):
        hint = "Keep it on another disk"
    return BadInput(where, expected=expected, found=_local(error), hint=f"{hint}; nothing was changed.")


def _remote(text: str, error: Exception) -> tuple[str, Hint]:
    status, code, retries, kind = (pattern.search(text) for pattern in (_STATUS, _CODE, _RETRIES, _KIND))
    if status:
        found = f"{status[1]} {status[2].strip()}" + (f" ({code[1]})" if code else "")
    elif isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        found = "no permission"
    else:
        found = _KINDS[kind[1]] if kind else f"another answer ({type(error).__name__})"
    hint = _HINTS.get(status[1] if status else kind[1] if kind else "", "")
    return found + (f" after {retries[1]} more attempts" if retries else ""), hint


def _local(error: Exception) -> str:
    """The operating system's words if the library passes them on, else the first line of the library's own."""
    system = re.search(r"\(os error (\d+)\)", str(error))
    return reason(OSError(int(system[1]), "")) if system else reason(error)
