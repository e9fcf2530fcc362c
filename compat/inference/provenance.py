"""Everything besides the weights that decides a model's vectors: settings, libraries, and the user's own code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from skipfill.compat.inference.network import Network
from skipfill.store.models.cards import WEIGHTS, Card

SHOWN = 4
LONGEST = 40
# Parts of a path that messages leave out: `encoder.settings.prefix` is the prefix.
_SILENT = ("encoder", "settings")


def versions(network: Network) -> dict[str, str]:
    """Versions of libraries, and digests of the user's code, as they are now."""
    older = {} if network.old is None else versions(network.old)
    return {"skipfill": version("skipfill"), "torch": torch.__version__, **older, **network.encoder.versions()}


def made_with(card: Card, network: Network, weights: str) -> dict[str, str]:
    """Everything that decides the vectors, by name, as short texts that can be compared.

    Args:
        weights: their SHA-256.
    """
    plain = json.loads(json.dumps(card.network))  # as it is after reading a card: tuples are lists
    settings = {name: _short(value) for name, value in _flat(plain, ()).items()}
    return {**versions(network), **settings, WEIGHTS: weights[:12]}


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """One text for each thing recorded then that differs now: `tokenizers 0.21.0 then, 0.22.0 now`."""
    return [
        f"{name} {value} then, {now.get(name, 'none')} now" for name, value in then.items() if now.get(name) != value
    ]


def told(found: list[str]) -> str:
    """The first of these changes as one text, appended to an error message."""
    if not found:
        return "no recorded version or setting has changed: the code of the encoder or of a library must have changed"
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"changed since: {'; '.join(found[:SHOWN])}{more}"


def _flat(value: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in value.items():
        here = path if name in _SILENT else (*path, name)
        found.update(_flat(one, here) if isinstance(one, dict) and one else {".".join(here): one})
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:14]}... ({hashlib.sha256(text.encode()).hexdigest()[:8]})"
