"""Training as people expect it: parts of batches, the best epoch, several processes, resumption, errors, the log."""

from __future__ import annotations

import io
import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from skipfill.cli.error_messages import sentence
from skipfill.cli.terminal import progress
from skipfill.cli.terminal.training_progress import log_file
from skipfill.compat.training.data.class_rows import RowsOfClasses
from skipfill.compat.training.data.sampling import parts
from skipfill.compat.training.data.validation_split import split_validation
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch, patience_is_over
from skipfill.compat.training.loop.guards import memory_explained
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.recipe import Recipe
from skipfill.store.errors import BadInput, SkipfillError
from skipfill.store.models.cards import LOG, WEIGHTS, load_card
from skipfill.store.models.files import read_file, trained_ids
from skipfill.store.storage.location import open_store
from skipfill.store.storage.object_store import ObjectStore
from tests.compat.training.training_world import (
    ALIGN,
    CASES,
    ITEMS,
    OLD,
    POOL,
    Noisy,
    data,
    furthest,
    in_any_number_of_processes,
    schedule,
    trained,
)
from tests.conftest import Skipfill, World, spawn
from tests.warm import program, start

STORE = Path(".skipfill")
CLOSE = 1e-5
METHODS = ["independent", "oca", "gallery"]
UNLABELLED_OF_10 = [2, 3, 7, 8, 9]  # pairs, two of five augmented


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_in_parts_gives_the_weights_of_the_whole(method: str, tmp_path: Path) -> None:
    """On items as they are: noise would be drawn for each part. 60 items are 3 batches of 20, in 5 parts of 4."""
    outcomes = []
    for accumulate in (1, 5):
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        given = replace(data(60), unlabelled=None)
        how = schedule(accumulate=accumulate, epochs=4, sample=40)
        outcomes.append(trained(folder, how, given, method, noise=0.0))
    whole, parts = outcomes
    assert furthest(whole.weights, parts.weights) < CLOSE
    assert furthest(whole.gradients, parts.gradients) < CLOSE
    assert max(float(one.abs().max()) for one in whole.gradients.values()) > 100 * CLOSE
    assert [one.step for one in whole.log] == [one.step for one in parts.log] == [3, 6, 9, 12]
    assert parts.log[-1].losses == pytest.approx(whole.log[-1].losses, abs=1e-4)


def test_memory_holds_one_part_at_a_time(tmp_path: Path) -> None:
    sizes: list[int] = []
    given = replace(data(60), unlabelled=None)
    trained(tmp_path, schedule(accumulate=4, epochs=1), given, "oca", during=lambda batch: sizes.append(len(batch)))
    assert sizes == [5] * 12


def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    """Augmentation, unlabelled items, a validation share, batches that no two processes share evenly."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    code, folder = program("tests.compat.training.training_world"), Path(__file__).parents[3]
    # In forks, which start faster; `test_the_command_in_two_processes` is by torchrun itself.
    ranks = [{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", **address} for rank in "01"]
    both = [start(code, [str(tmp_path)], cwd=folder, environment={**os.environ, **rank}) for rank in ranks]
    for process in both:
        assert process.communicate(timeout=120)[1] == ""
        assert process.returncode == 0
    for name, case in CASES.items():
        one = in_any_number_of_processes(*case)
        first, second = (load_file(tmp_path / f"{name} {rank}.safetensors") for rank in (0, 1))
        assert any("gradient of encoder" in name for name in one)
        assert furthest(first, second) == 0
        assert furthest(one, first) < CLOSE


def test_the_command_in_two_processes(skipfill: Skipfill, registered: World) -> None:
    command = ["train", "v2", "--gallery", "things", "--items", registered.items, "--epochs", 2, "--json"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*torchrun, "-m", "skipfill.cli", *map(str, command), "--log-file", "log.ndjson"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["training"]["processes"] == 2
    assert len(Path("log.ndjson").read_text().splitlines()) == 8
    assert not list((STORE / "training").rglob("*.safetensors"))
    skipfill("check", "things", "v2", "--items", registered.heldout, expect=None)


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path: Path) -> None:
    """Labels that are noise: the longer one trains, the worse it gets."""
    weights: list[dict[str, torch.Tensor]] = []
    given = data(validation=torch.arange(0, ITEMS, 3), noise=5.0)
    how = schedule(epochs=40, lr=3e-2, patience=4)
    kept = trained(tmp_path, how, given, "bct", each_epoch=lambda epoch, now: weights.append(now))
    log = kept.log
    best = best_epoch(log).epoch
    losses = [sum(one.validation.values()) for one in log]
    assert losses.index(min(losses)) == best - 1
    assert len(log) == best + 4 < 40
    assert furthest(kept.weights, weights[best - 1]) == 0
    assert furthest(kept.weights, weights[-1]) > 0


@pytest.mark.parametrize("method", ["gallery", "bct"])
def test_fewer_items_may_be_held_out_than_a_batch_has_parts(method: str, tmp_path: Path) -> None:
    log = trained(tmp_path, schedule(epochs=1, accumulate=8), data(validation=torch.arange(3)), method).log
    assert all(math.isfinite(value) for value in log[0].validation.values())


def test_patience_counts_epochs_that_were_not_better() -> None:
    log = [Epoch(number, number, 0.1, {}, {"a": value}, 1, 1) for number, value in enumerate([3, 1, 2, 1, 5], 1)]
    assert best_epoch(log).epoch == 2
    assert [patience_is_over(log[:end], 2) for end in range(6)] == [False, False, False, False, True, True]
    assert not patience_is_over(log, 0)
    assert best_epoch([replace(one, validation={}) for one in log]).epoch == 5


def test_a_resumed_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """With everything on: parts, validation, patience, dropout's place taken by noise."""
    given = data(validation=torch.arange(0, ITEMS, 3), noise=5.0)
    how = schedule(epochs=12, lr=3e-2, patience=5, accumulate=2)
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = trained(tmp_path / "whole", how, given)

    def kill(epoch: Epoch) -> None:
        if epoch.epoch in (2, 4, 7):
            raise KeyboardInterrupt

    epochs = 0
    for _ in range(4):
        try:
            killed = trained(tmp_path / "killed", how, given, watcher=Watcher(epoch=kill))
        except KeyboardInterrupt:
            epochs += 1
    assert epochs == 3
    assert furthest(whole.weights, killed.weights) == 0
    assert [replace(one, seconds=0, items_per_second=0) for one in whole.log] == [
        replace(one, seconds=0, items_per_second=0) for one in killed.log
    ]


def test_a_resumed_optimizer_has_its_moments_where_the_weights_are_in_memory(tmp_path: Path) -> None:
    """Files hold plain arrays; the fused optimizer goes through weights and moments side by side as they lie."""

    def made() -> tuple[nn.Module, AdamW, LambdaLR]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3)).to(memory_format=torch.channels_last)
        optimizer = AdamW(net.parameters(), lr=0.1, fused=True)
        return net, optimizer, LambdaLR(optimizer, lambda step: 1.0)

    def step(net: nn.Module, optimizer: AdamW, decay: LambdaLR) -> None:
        optimizer.zero_grad()
        net(torch.linspace(-1, 1, 2 * 3 * 5 * 5).sin().reshape(2, 3, 5, 5)).pow(2).sum().backward()
        optimizer.step()
        decay.step()

    checkpoints = Checkpoints(ObjectStore(tmp_path), "checkpoint.safetensors", "recipe")
    first, again = made(), made()
    step(*first)
    checkpoints.save([Epoch(1, 1, 0.1, {}, {}, 1, 1)], {}, *first)
    checkpoints.resume(*again)
    for one in (first, again):
        step(*one)
    for whole, resumed in zip(first[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(whole, resumed)


def test_a_checkpoint_of_another_net_is_refused(tmp_path: Path) -> None:
    one, two = (nn.Sequential(*(nn.Linear(2, 2) for _ in range(many))) for many in (1, 2))
    net, other = ((model, AdamW(model.parameters())) for model in (one, two))
    checkpoints = Checkpoints(ObjectStore(tmp_path), "checkpoint.safetensors", "recipe")
    two(torch.ones(1, 2)).sum().backward()
    other[1].step()
    with_it = LambdaLR(other[1], lambda step: 1.0)
    checkpoints.save([Epoch(1, 1, 0.1, {}, {}, 1, 1)], {}, one, other[1], with_it)
    with pytest.raises(BadInput, match="expected a readable checkpoint"):
        checkpoints.resume(*net, LambdaLR(net[1], lambda step: 1.0))


@pytest.mark.parametrize("words", ["CUDA out of memory. Tried", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"])
def test_missing_memory_is_said_as_such(words: str) -> None:
    with pytest.raises(SkipfillError, match="expected memory for batches of 8 items"), memory_explained(8, 1):
        raise RuntimeError(words)
    with pytest.raises(RuntimeError, match="shapes"), memory_explained(8, 1):
        raise RuntimeError("shapes do not fit")


def test_a_killed_training_loses_one_epoch_at_most(tmp_path: Path) -> None:
    """Killed within epoch 3: two are done, and the third is repeated."""
    seen: list[int] = []

    def die(batch: torch.Tensor) -> None:
        seen.append(len(batch))
        if len(seen) == 8:
            raise KeyboardInterrupt

    how = schedule(batch=21)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, how, data(), during=die)
    again = trained(tmp_path, how, data(), during=die)
    assert len(seen) == 8 + 3
    assert [one.epoch for one in again.log] == [1, 2, 3]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.4])
def test_held_out_items_are_spread_over_the_classes(share: float) -> None:
    labels = torch.cat([torch.zeros(400), torch.ones(200), torch.full((100,), 2), torch.tensor([3])]).long()
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    rows = split_validation(labels, share, 0)
    assert rows is not None
    assert len(rows) == len(rows.unique()) == round(share * len(labels))
    counts = labels[rows].bincount(minlength=4)
    assert counts[3] == 0
    torch.testing.assert_close(counts[:3].float(), share * torch.tensor([400.0, 200, 100]), atol=1.5, rtol=0)
    assert torch.equal(rows, split_validation(labels, share, 0))
    assert not torch.equal(rows, split_validation(labels, share, 1))


def test_a_share_that_holds_nothing_out_is_refused() -> None:
    labels = torch.arange(10)
    assert split_validation(labels, 0.0, 0) is None
    with pytest.raises(BadInput, match="leaves one of each class"):
        split_validation(labels, 0.5, 0)


def test_validation_through_the_command(skipfill: Skipfill, registered: World) -> None:
    command = ["--gallery", "things", "--items", registered.items, "--epochs", 3]
    card = skipfill("train", "v2", *command, "--validation", 0.25, "--json").document["model"]
    assert (card["training"]["held_out"], card["trained_items"], card["training"]["epochs"]) == (54, 162, 9)
    # They chose the epoch: they are not queries of a check either.
    objects = open_store(STORE)
    assert len(trained_ids(objects, load_card(objects, "v2"))) == 216
    refused = skipfill("train", "v3", *command, "--patience", 2, expect=2)
    assert "--patience: expected items held out" in refused.err
    assert "--validation SHARE" in refused.err


def test_memory_that_is_not_there_is_said_so_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SkipfillError, match="expected memory for batches of 20 items in 2 parts") as caught:
        trained(tmp_path, schedule(accumulate=2), data(), during=lambda batch: torch.empty(1 << 50))
    advice = sentence(caught.value.hint)
    assert "--accumulate 4" in advice
    assert "--batch 10" in advice


def test_other_errors_are_not_taken_for_a_lack_of_memory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trained(tmp_path, schedule(), data(), during=lambda batch: batch @ batch)


def test_losses_that_are_not_finite_are_said_so_with_advice(tmp_path: Path) -> None:
    with pytest.raises(SkipfillError, match=r"expected finite (losses|weights)") as caught:
        trained(tmp_path, schedule(lr=3e30, epochs=20), replace(data(), unlabelled=None), "independent")
    assert "--lr 1e+30" in sentence(caught.value.hint)


def test_only_what_the_log_is_written_to_is_blamed_on_it(tmp_path: Path) -> None:
    epoch = Epoch(1, 1, 0.1, {}, {}, 0.1, 1.0)
    with pytest.raises(FileNotFoundError), log_file(str(tmp_path / "log"), [], None):
        (tmp_path / "table.bin").read_bytes()
    with (
        pytest.raises(BadInput, match="/dev/full: expected a file that can be written to"),
        log_file("/dev/full", [], None) as log,
    ):
        log(epoch)


def test_the_log_is_streamed_and_kept(skipfill: Skipfill, registered: World) -> None:
    command = ["--gallery", "things", "--items", registered.items, "--epochs", 3, "--validation", 0.2]
    Path("log.ndjson").write_text("before\n")
    skipfill("train", "v2", *command, "--log", "log.ndjson")
    before, *lines = Path("log.ndjson").read_text().splitlines()
    assert before == "before"
    objects = open_store(STORE)
    card = load_card(objects, "v2")
    assert read_file(objects, card, LOG).decode().splitlines() == lines
    epochs = [json.loads(line) for line in lines]
    assert [one["epoch"] for one in epochs] == [*range(1, 10)]
    assert [one["step"] for one in epochs] == [*range(epochs[0]["step"], epochs[-1]["step"] + 1, epochs[0]["step"])]
    assert card.training["best_epoch"] > 3
    assert epochs[card.training["best_epoch"] - 1]["losses"] == card.losses
    assert set(epochs[0]["validation"]) == set(card.losses) == {"class", "prototypes", "neighbours"}
    assert set(epochs[0]["losses"]) == {*card.losses, "imitation", "ranking"}
    assert all(one["seconds"] > 0 and one["items_per_second"] > 0 for one in epochs)
    streamed = skipfill("train", "v3", *command, "--log", "-")
    assert [json.loads(line)["epoch"] for line in streamed.out.splitlines()] == [*range(1, 10)]
    assert "Trained v3" in streamed.err
    assert "expected a file" in skipfill("train", "v4", *command, "--log", "-", "--json", expect=2).err
    assert "nowhere/log: expected a file" in skipfill("train", "v4", *command, "--log", "nowhere/log", expect=2).err


@pytest.mark.parametrize("validation", [0, 0.2])
def test_the_loss_plot(validation: float, skipfill: Skipfill, registered: World) -> None:
    pytest.importorskip("matplotlib")
    skipfill("train", "v2", "--items", registered.items, "--epochs", 4, "--validation", validation)
    skipfill(
        "train", "v3", "--items", registered.items, "--gallery", "things", "--epochs", 4, "--validation", validation
    )
    skipfill("model", "plot", "v3", "-o", "of_gallery.svg")
    drawn = Path("of_gallery.svg").read_text()
    assert all(f"<!-- {term} -->" in drawn for term in ("class", "neighbours", "imitation"))
    skipfill("model", "plot", "v2", "-o", "loss.svg")
    skipfill("model", "plot", "v2", "-o", "loss.png")
    assert Path("loss.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in Path("loss.svg").read_text()
    assert ("<!-- class, held out -->" in Path("loss.svg").read_text()) == bool(validation)
    assert ".svg, .png, .pdf" in skipfill("model", "plot", "v2", "-o", "loss.txt", expect=2).err
    assert "can be written to" in skipfill("model", "plot", "v2", "-o", "nowhere/loss.svg", expect=2).err


def test_the_loss_plot_heeds_no_file_in_this_folder(skipfill: Skipfill, world: World, tmp_path: Path) -> None:
    """matplotlib reads a `matplotlibrc` there, which may choose LaTeX, and with it commands of LaTeX."""
    pytest.importorskip("matplotlib")
    skipfill("init")
    skipfill("train", "v1", "--items", world.items, "--epochs", 1)
    Path("matplotlibrc").write_text("text.usetex: True\ntext.latex.preamble: \\badness\nlines.linewidth: 77\n")
    plotting = spawn("model", "plot", "v1", "-o", "loss.svg", cwd=tmp_path)
    assert plotting.communicate(timeout=60)[1].count("error") == 0
    assert plotting.returncode == 0
    assert "stroke-width: 77" not in Path("loss.svg").read_text()


def test_bf16_is_what_the_encoder_computes_in(skipfill: Skipfill, registered: World) -> None:
    for precision in ("f32", "bf16"):
        skipfill("train", precision, "--items", registered.items, "--epochs", 2, "--precision", precision)
    objects = open_store(STORE)
    full, half = (read_file(objects, load_card(objects, name), WEIGHTS) for name in ("f32", "bf16"))
    assert full != half
    assert len(full) == len(half)  # the weights are kept in f32


def test_what_cannot_be_trained_is_refused_before_any_work(skipfill: Skipfill, registered: World) -> None:
    command = ["train", "v2", "--items", registered.items]
    assert "--device: expected auto, cpu or cuda, found 'gpu'" in skipfill(*command, "--device", "gpu", expect=2).err
    small = skipfill(*command, "--batch", 6, "--accumulate", 4, expect=2).err
    assert "--batch: expected at least 8 items" in small
    if not torch.cuda.is_available():
        assert "--device: expected cpu: torch sees no GPU" in skipfill(*command, "--device", "cuda", expect=2).err


OUT_OF_RANGE: dict[str, tuple[Any, str]] = {
    "device": ("gpu", "auto, cpu or cuda"),
    "precision": ("f16", "auto, bf16 or f32"),
    "epochs": (1.5, "a whole number of at least 0"),
    "accumulate": (0, "a whole number of at least 1"),
    "validation": (1.0, "a number from 0 to 0.9"),
    "lr": (math.inf, "a number of at least 0"),
    "threads": (1025, "a whole number from 0 to 1024"),
    "seed": (2**63, "a whole number from 0"),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_recipe_refuses_a_value_out_of_range(name: str) -> None:
    value, expected = OUT_OF_RANGE[name]
    with pytest.raises(BadInput, match=f"^{name}: expected {expected}.*, found {value!r}$"):
        Recipe("gallery", **{name: value})


@pytest.mark.parametrize("size", [7, 40, 100])
def test_a_sample_is_rows_of_the_pool_each_as_often(size: int) -> None:
    given = data()
    assert given.pool is not None
    given = replace(given, pool=replace(given.pool, items=torch.arange(POOL)))
    counts = torch.zeros(POOL)
    torch.manual_seed(0)
    for _ in range(1_600):
        _, batch = next(parts(given, torch.arange(3), 1, sample=size))
        assert batch.sample is not None
        rows = batch.sample.items
        assert len(rows.unique()) == len(rows) == min(size, POOL)
        assert torch.equal(batch.sample.vectors, given.pool.vectors[rows])
        counts[rows] += 1
    mean = 1_600 * min(size, POOL) / POOL
    torch.testing.assert_close(counts, torch.full((POOL,), mean), rtol=0.5, atol=0)


@pytest.mark.parametrize("of_trained", [True, False])
def test_pairs_are_items_with_their_own_stored_vectors(of_trained: bool) -> None:
    """Half of them unlabelled ones; all of them, for methods that need no others."""
    given = data()
    assert given.unlabelled is not None
    assert given.old is not None
    assert given.has_old is not None
    torch.manual_seed(0)
    inputs, batch = next(parts(given, torch.arange(3), 1, pairs=10, of_trained=of_trained))
    assert batch.pairs is not None
    assert len(inputs) == 3 + 10
    unlabelled_ones = [not of_trained or place in UNLABELLED_OF_10 for place in range(10)]
    for prepared, old, unlabelled in zip(inputs[3:], batch.pairs.old, unlabelled_ones, strict=True):
        source, vectors = (given.unlabelled.items, given.unlabelled.old) if unlabelled else (given.items, given.old)
        places = (source.batch(torch.arange(len(source))) == prepared).all(dim=1).nonzero().flatten().tolist()
        assert any(torch.equal(vectors[place], old) for place in places)
        assert unlabelled or any(bool(given.has_old[place]) for place in places)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
def test_every_item_is_augmented_but_half_of_the_pairs(
    aligned: bool, in_place: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_place:
        monkeypatch.setattr(Noisy, "augment", lambda self, batch: batch.add_(self.noise))
    moved: list[list[bool]] = []
    given = data(60) if aligned else replace(data(60), unlabelled=None)

    def note(batch: Tensor) -> None:
        moved.append((batch.abs().amax(dim=1) > 50).tolist())

    trained(tmp_path, schedule(epochs=2), given, during=note, noise=1e4)
    clean = 6 if aligned else 5  # of five pairs of each kind, and of ten of one
    assert moved == [[True] * (30 - clean) + [False] * clean] * 6


@pytest.mark.parametrize("most", [4, 64])
def test_rows_of_a_class_are_all_or_as_many_as_are_asked_for_and_stand_for_all(most: int) -> None:
    given = data()
    assert given.pool is not None
    classes = RowsOfClasses(given.pool)
    items = torch.arange(20)
    labels = torch.where(items == 19, 77, given.labels[items])
    seen: set[int] = set()
    for seed in range(50):
        found = classes.of(labels, items, most, 30, start=97 * seed)
        assert found.vectors.shape == (20, most, OLD)
        assert not found.stand_for[19].any()  # a class that no row has
        for item, label in enumerate(labels[:19].tolist()):
            used = found.vectors[item][found.stand_for[item] > 0]
            rows = [int((given.pool.vectors == row).all(dim=1).nonzero()) for row in used]
            others = (given.pool.labels == label) & (given.pool.items != item)
            assert len(set(rows)) == len(rows) >= min(most, int(others.sum())) - 1
            assert bool(others[rows].all())
            assert float(found.stand_for[item].sum()) == pytest.approx(int(others.sum()) * 30 / POOL, rel=1e-5)
            seen |= set(rows)
    assert seen == set(torch.arange(POOL)[torch.isin(given.pool.labels, labels)].tolist())


def test_strange_items_are_drawn_more_often() -> None:
    given = data()
    assert given.unlabelled is not None
    stored = {tuple(row): place for place, row in enumerate(given.unlabelled.old.tolist())}
    places = []
    for _ in range(200):
        _, batch = next(parts(given, torch.arange(3), 1, pairs=10))
        assert batch.pairs is not None
        places += [stored[tuple(row)] for row in batch.pairs.old[UNLABELLED_OF_10].tolist()]
    drawn = torch.tensor(places)
    assert set(places) == set(range(ALIGN))
    strange = given.unlabelled.labels < 0
    # Two of five are drawn from those that are strange, and three from all.
    expected = 0.4 + 0.6 * float(strange.double().mean())
    assert float(strange[drawn].double().mean()) == pytest.approx(expected, abs=0.035)


@pytest.mark.parametrize("width", [60, 80])
def test_losses_are_cut_before_the_bar_is(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **given: console)
    with progress.progress(quiet=False) as bar:
        bar.start("training", 1000)
        bar.advance(300)
        bar.note("v2 epoch 12", "class 4.61 proto 6.91 neigh 6.91 imita 4.80 ranki 0.12")
    last = [line for line in drawn.getvalue().replace("\r", "\n").splitlines() if "epoch" in line][-1]
    assert "v2 epoch 12 ━" in last
    assert " 30% " in last
    assert "left" in last
    assert last.rstrip().endswith("…")
