"""The number of threads of a training: given, or the fastest as measured; steps are the same whatever is measured."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from skipfill.compat.training.loop.epoch_log import Epoch
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.loop.threads import REST, Threads, threads_for
from skipfill.store.models.cards import WEIGHTS, load_card
from skipfill.store.storage.location import open_store
from tests.compat.training.training_world import data, furthest, schedule, trained
from tests.conftest import Skipfill, World

MOST = 8


@pytest.fixture(autouse=True)
def torchs_own() -> Iterator[None]:
    """Tests leave torch with the threads that they found."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """A machine on which a step takes a time that depends on the threads that torch has then."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.used: list[int] = []

    def step(self, threads: Threads) -> None:
        with threads.for_step():
            self.used.append(torch.get_num_threads())
            self.now += self.seconds(torch.get_num_threads())

    def threads(self, most: int = MOST) -> Threads:
        return Threads(most, most, clock=lambda: self.now)


@pytest.mark.parametrize("best", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [1e-3, 0.05, 2.0])
def test_the_fastest_number_is_chosen(best: int, scale: float) -> None:
    """Steps take longer the further the number is from the best one: by a quarter when halved or doubled."""
    machine = Machine(lambda count: scale * 1.25 ** abs(count.bit_length() - best.bit_length()))
    threads = machine.threads()
    for _ in range(2_000):
        machine.step(threads)
        if threads.chosen != MOST:
            break
    assert threads.chosen == best
    machine.step(threads)
    assert machine.used[-1] == best
    assert set(machine.used) <= {1, 2, 4, 8}
    assert min(machine.used) >= best // 2  # far too few are not tried


def test_most_steps_are_no_trials() -> None:
    machine = Machine({2: 0.03, 1: 0.01}.__getitem__)
    threads = machine.threads(2)
    for _ in range(5_000):
        machine.step(threads)
    assert threads.chosen == 1
    assert machine.used.count(2) > 4  # it looks again,
    slow = 0.03 * machine.used.count(2)
    assert slow < machine.now / REST  # and that takes few percent of the time


def test_a_slow_first_step_of_a_number_does_not_count() -> None:
    machine = Machine(lambda count: 0.05)
    threads = machine.threads(2)
    machine.seconds = lambda count: 5.0 if len(machine.used) == 1 else 0.04 * 3 / (count + 1)
    for _ in range(10):
        machine.step(threads)
    assert threads.chosen == 2


def test_the_choice_follows_the_machine() -> None:
    """Other work begins, and ends."""
    machine = Machine({2: 0.01, 1: 0.02}.__getitem__)
    threads = machine.threads(2)
    chosen = []
    for other_work in (False, True, False):
        machine.seconds = ({2: 0.05, 1: 0.02} if other_work else {2: 0.01, 1: 0.02}).__getitem__
        for _ in range(1_000):
            machine.step(threads)
        chosen.append(threads.chosen)
    assert chosen == [2, 1, 2]


@pytest.mark.parametrize(("given", "named", "alone"), [(3, "", True), (3, "2", True), (0, "2", True), (0, "", False)])
def test_a_number_that_is_given_stays(given: int, named: str, alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    torch.set_num_threads(2)
    with threads_for(given, 1, alone_on_cpu=alone) as threads:
        machine = Machine(lambda count: 1.0 * count)
        for _ in range(30):
            machine.step(threads)
    assert set(machine.used) == {given or 2}
    assert torch.get_num_threads() == 2


def test_a_training_that_measures_takes_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the order of sums may differ: the random numbers of the steps, and their number, do not."""
    torch.set_num_threads(2)
    weights, seen = [], []
    for folder, named in (("given", "2"), ("measured", "")):
        monkeypatch.setenv("OMP_NUM_THREADS", named)
        (tmp_path / folder).mkdir()
        numbers: set[int] = set()
        outcome = trained(
            tmp_path / folder,
            schedule(epochs=60),
            data(),
            during=lambda batch, numbers=numbers: numbers.add(torch.get_num_threads()),
        )
        weights.append(outcome.weights)
        seen.append(numbers)
        assert [one.step for one in outcome.log] == [4 * (number + 1) for number in range(60)]
    assert seen == [{2}, {1, 2}]
    assert furthest(*weights) < 1e-4
    assert torch.get_num_threads() == 2


def test_a_resumed_training_goes_on_with_the_number_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(2)

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, schedule(threads=1), data(), watcher=Watcher(epoch=stop))
    monkeypatch.delenv("OMP_NUM_THREADS")
    used: list[int] = []
    log = trained(tmp_path, schedule(), data(), during=lambda batch: used.append(torch.get_num_threads())).log
    assert [one.threads for one in log] == [1, 1, 1]
    assert set(used) == {1}


def test_the_command_takes_records_and_says_the_number(skipfill: Skipfill, world: World) -> None:
    skipfill("init")
    command = ["--items", world.items, "--epochs", 2]
    weights = []
    for model in ("one", "two"):
        document = skipfill("train", model, *command, "--threads", 2, "--json").document["model"]
        assert document["training"]["threads"] == document["recipe"]["threads"] == 2
        weights.append(document["files"][WEIGHTS])
    assert weights[0] == weights[1]
    assert "2 epochs, 2 threads, " in skipfill("train", "three", *command, "--threads", 2, "--log", "log").out
    assert json.loads(Path("log").read_text().splitlines()[0])["threads"] == 2
    told = skipfill("train", "four", *command).out
    assert f"2 epochs, {os.environ['OMP_NUM_THREADS']} thread" in told
    assert load_card(open_store(Path(".skipfill")), "four").recipe["threads"] == 0
    assert "--threads" in skipfill("train", "five", *command, "--threads", 1025, expect=2).err
