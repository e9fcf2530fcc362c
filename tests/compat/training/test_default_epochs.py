"""The default number of epochs follows from the number of items."""

from __future__ import annotations

import pytest

from skipfill.compat.encoders.encoder import MOST_EPOCHS, Pace
from skipfill.compat.encoders.registry import ENCODERS
from tests.conftest import Skipfill, World

PACE = Pace(epochs=20, steps=800, batch=128, lr=1e-3)


@pytest.mark.parametrize(("items", "epochs"), [(900, 100), (3_000, 34), (5_120, 20), (5_121, 20), (60_000, 20)])
def test_few_items_are_passed_over_until_the_steps_are_reached(items: int, epochs: int) -> None:
    assert PACE.epochs_for(items, PACE.batch) == epochs


@pytest.mark.parametrize("items", [2, 100, 900, 4_000, 5_000, 100_000])
@pytest.mark.parametrize("batch", [16, 128, 1_000])
def test_steps_are_reached_and_no_pass_more_is_made(items: int, batch: int) -> None:
    epochs, steps_of_an_epoch = PACE.epochs_for(items, batch), -(-items // batch)
    assert PACE.epochs <= epochs <= MOST_EPOCHS
    assert epochs == MOST_EPOCHS or epochs * steps_of_an_epoch >= PACE.steps
    assert epochs == PACE.epochs or (epochs - 1) * steps_of_an_epoch < PACE.steps


@pytest.mark.parametrize("name", ENCODERS)
def test_large_sets_get_the_epochs_of_their_encoder(name: str) -> None:
    for given in ({}, {"frozen": True}):
        pace = ENCODERS[name].pace(given)
        assert pace.epochs_for(1_000_000, pace.batch) == pace.epochs <= 20


def test_the_recipe_has_the_resolved_number_and_an_option_wins(skipfill: Skipfill, world: World) -> None:
    """216 items are 171 in training, 2 batches of 100 and an epoch of 2 steps."""
    skipfill("init")
    few = ("--items", world.items, "--batch", 100, "--validation", 0.2, "--patience", 1, "--json")
    card = skipfill("train", "v1", *few).document["model"]
    assert card["recipe"]["epochs"] == MOST_EPOCHS
    assert card["training"]["epochs"] < MOST_EPOCHS
    assert ", 3 epochs, " in skipfill("train", "v2", *few[:-1], "--epochs", 3).out
    assert skipfill("model", "show", "v2", "--json").document["model"]["recipe"]["epochs"] == 3
