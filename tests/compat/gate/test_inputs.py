"""Inputs and policies refuse what they cannot mean, by the name of the parameter."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from skipfill.compat.gate.inputs import CheckInputs, Policy
from skipfill.store.errors import BadInput, Parameter

ITEMS = [Path("items.parquet")]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("truth", {"truth": "foo"}),
        ("truth judgements", {"truth": "judgements"}),
        ("depth", {"depth": 0}),
        ("threshold", {"thresholds": [0.5, 1.5]}),
        ("threshold", {"thresholds": [math.nan]}),
        ("threshold_rule", {"threshold_rule": "fare"}),
        ("items", {"items": []}),
    ],
)
def test_inputs_that_mean_nothing(name: str, values: dict[str, object]) -> None:
    with pytest.raises(BadInput) as caught:
        CheckInputs(**{"items": ITEMS, **values})  # type: ignore[arg-type]
    assert str(caught.value.where) == name
    assert isinstance(caught.value.where, Parameter)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metric", "CMC"),
        ("metric", "TAR@FAR=2"),
        ("confidence", 0.4),
        ("confidence", 1.0),
        ("confidence", math.nan),
        ("margin", -0.01),
        ("margin", 1.0),
        ("flip_budget", 0.0),
        ("flip_budget", 1.0),
        ("least_queries", 1),
        ("most_left_out", 1.1),
    ],
)
def test_policies_that_mean_nothing(name: str, value: object) -> None:
    with pytest.raises(BadInput) as caught:
        Policy(**{name: value})  # type: ignore[arg-type]
    assert caught.value.where == Parameter(name)


def test_the_ends_of_the_ranges_are_in() -> None:
    Policy(confidence=0.5, margin=0, flip_budget=0.0001, least_queries=2)
    Policy(confidence=0.999, margin=0.99, flip_budget=0.99)
    CheckInputs(ITEMS, truth="reindex", depth=1, thresholds=[-1, 1], threshold_rule="match-rate")
    CheckInputs(ITEMS, truth="judgements", judgements=Path("judgements.tsv"))
