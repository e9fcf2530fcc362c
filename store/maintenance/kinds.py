"""Kinds of objects that may be left over, by their keys."""

from __future__ import annotations

from skipfill.store.storage.layout import CHECKS, GALLERIES, MODELS, OVERLAYS, SPACES, TRAINING, is_name

# What may be left in each folder. Anything else in the store is not ours to remove.
KINDS = {
    f"{MODELS}/*/*": "a model file without a card",
    f"{CHECKS}/*/*/*": "an interrupted check",
    f"{GALLERIES}/*/files/*": "a file list that no version uses",
    f"{GALLERIES}/*/rows/*": "row hashes that no file list uses",
    f"{OVERLAYS}/*/*/files/*": "an overlay file that no version uses",
    f"{SPACES}/*": "a space that no gallery and no model uses",
    f"{TRAINING}/*/*": "a checkpoint of a finished training",
}


def kind_of(key: str) -> str:
    """The kind of leftover that `key` would be; empty where it can be none."""
    parts = key.split("/")
    if not all(map(is_name, parts[:-1])):
        return ""
    for pattern in KINDS:
        wanted = pattern.split("/")
        if len(parts) == len(wanted) and all(want in ("*", part) for want, part in zip(wanted, parts, strict=True)):
            return pattern
    return ""
