"""Finds the methods that have enough pairs and labels to be fitted."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skipfill.compat.methods.adapters.adapter import Adapter
from skipfill.compat.training.adapters.choose import Option
from skipfill.compat.training.adapters.collect import Collected
from skipfill.compat.training.adapters.sources import OpenedPairs
from skipfill.store.errors import Advice, BadInput, Hint

SAME = 1e-4  # largest difference of equal coordinates: vectors of length 1 may be stored in half precision
ALIKE = 1e-9  # variance below which vectors of length 1 differ only by rounding


@dataclass(frozen=True)
class Options:
    """The maps to choose among.

    Attributes:
        tried: the simplest first.
        left_out: method -> the reason why it is not tried.
    """

    tried: list[Option]
    left_out: dict[str, str]


def options_for(opened: OpenedPairs, collected: Collected) -> Options:
    """The methods that can be fitted to the pairs, with all settings to choose among.

    Raises:
        BadInput: there is no pair; all vectors are alike; or every method lacks pairs or labels.
    """
    _refuse_unusable(opened, collected)
    dims = collected.sums.dims
    tried: list[Option] = []
    left_out: dict[str, str] = {}
    for name, adapter in opened.adapters.items():
        needs = _missing(adapter, collected)
        if needs:
            left_out[name] = needs
        else:
            settings = adapter.choices(opened.settings[name], *dims)
            tried += [Option(name, adapter, one) for one in settings]
    if not tried:
        raise _too_few(opened, collected)
    return Options(tried, left_out)


def _missing(adapter: type[Adapter], collected: Collected) -> str:
    """A need of the method that the pairs do not meet, in words; empty if they meet all."""
    fewest = adapter.fewest_pairs(*collected.sums.dims)
    if collected.sums.count < fewest:
        return f"needs {fewest:,} pairs"
    if adapter.needs_labels and not collected.sample.has_labels:
        return "needs labels"
    return ""


def _refuse_unusable(opened: OpenedPairs, collected: Collected) -> None:
    sums, items, gallery = collected.sums, opened.items, opened.gallery
    if sums.count == 0:
        raise BadInput(
            f"{items.where}, column {items.id_column}",
            expected=f"ids that gallery {gallery.name} has",
            found=f"none of {len(items):,} (first: {items.ids[0].as_py()!r})",
            hint=Advice("join_by_id"),
        )
    for where, variance, hint in (
        (f"{items.where}, column {items.input_column}", sums.variance_new, Advice("name_column", parameter="input")),
        (f"gallery {gallery.name}", sums.variance_old, ""),
    ):
        if sums.count > 1 and variance < ALIKE:
            raise BadInput(
                where,
                expected="vectors that differ from item to item",
                found=f"one vector for all {sums.count:,} pairs",
                hint=hint,
            )
    sample = collected.sample
    if sample.new.shape == sample.old.shape and torch.allclose(sample.new, sample.old, atol=SAME):
        raise BadInput(
            f"{items.where}, column {items.input_column}",
            expected="vectors by a new encoder",
            found=f"those that gallery {gallery.name} stores, for all {sums.count:,} pairs",
            hint=Advice("name_column", parameter="input"),
        )


def _too_few(opened: OpenedPairs, collected: Collected) -> BadInput:
    """The error for pairs that no method can be fitted to."""
    fewest = min(kind.fewest_pairs(*collected.sums.dims) for kind in opened.adapters.values())
    name, (dim_new, dim_old) = next(iter(opened.adapters)), collected.sums.dims
    where = f"{opened.items.where}, joined with gallery {opened.gallery.name}"
    if collected.sums.count >= fewest:
        return BadInput(
            where,
            expected=f"labels of items or rows, which {name} needs",
            found="none",
            hint=Advice("label_pairs"),
        )
    hint: Hint = Advice("more_pairs") if len(opened.adapters) > 1 else Advice("more_pairs_or_auto")
    return BadInput(
        where,
        expected=f"at least {fewest:,} pairs, for a map from {dim_new} to {dim_old} dimensions by {name}"
        if len(opened.adapters) == 1
        else f"at least {fewest:,} pairs",
        found=f"{collected.sums.count:,}",
        hint=hint,
    )
