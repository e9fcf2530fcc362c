"""Training as skipfill does it beside a bare loop over the same net, data, augmentation and optimizer; and its memory.

    pip install -c .ci/constraints.txt '.[bench]'
    python tests/benchmarks/throughput.py [--epochs 4] [--items 8192] [--methods gallery] [--samples 512]
                                          [--device cpu]

The bare loop has a classification loss only, over the same items: where a method draws pairs, the net sees them in
both, and the bare loop augments all of them, skipfill all but half of the pairs. `skipfill` has the gallery
method: 512 stored rows a step out of a pool of 65,536, each item's stored vector, 100 class means, the progress bar, a
checkpoint after every epoch. Both run in turns in one process, a step each, so that they see the same load; the first
epoch of each does not count. Memory is the peak of a process that trains against a gallery of 20 thousand rows, and of
one of 2 million. Not part of the test run.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from skipfill.cli.terminal.progress import progress
from skipfill.cli.terminal.training_progress import step_shower
from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.encoders.convnet import Settings as ConvSettings
from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.prepared import Prepared
from skipfill.compat.methods.batch import GallerySample, OldSpace
from skipfill.compat.methods.method import MethodContext
from skipfill.compat.methods.registry import TRAINED
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.device import has_bf16
from skipfill.compat.training.loop.epoch_log import Epoch
from skipfill.compat.training.loop.fit import fit
from skipfill.compat.training.loop.schedule import Schedule, Step, Watcher
from skipfill.compat.training.loop.task import Task
from skipfill.store.storage.object_store import ObjectStore

CLASSES, OLD, POOL, BATCH = 100, 128, 65_536, 128
FEW, MANY = 20_000, 2_000_000


@dataclass(frozen=True)
class ResNetSettings:
    size: int = 64
    channels: int = 3


class ResNet(Encoder):
    """A small ResNet of transformers, with the augmentation of the built-in net."""

    takes = "image"
    settings_type = ResNetSettings

    def __init__(self, settings: ResNetSettings) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        config = ResNetConfig(
            num_channels=3, embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2] * 4, layer_type="basic"
        )
        self.settings = settings
        self.net = ResNetModel(config).to(memory_format=torch.channels_last)
        self.width = 128
        self.augment = ConvNet(ConvSettings(settings.size, settings.channels)).augment  # type: ignore[method-assign]

    def forward(self, batch: Tensor) -> Tensor:
        pooled: Tensor = self.net(batch.contiguous(memory_format=torch.channels_last)).pooler_output
        return pooled.flatten(1)


ENCODERS = {
    "built-in net, 28x28 grey": lambda: ConvNet(ConvSettings(28, 1)),
    "built-in net, 64x64 RGB": lambda: ConvNet(ConvSettings(64, 3)),
    "transformers ResNet, 64x64 RGB": lambda: ResNet(ResNetSettings()),
}


def drawn(encoder: Encoder, count: int, folder: Path) -> TrainingData:
    """Random images with labels and stored vectors."""
    random = np.random.default_rng(0)
    shape = (count, encoder.settings.channels, encoder.settings.size, encoder.settings.size)
    images = np.memmap(folder / "items", np.uint8, "w+", shape=shape)
    images[:] = random.integers(0, 256, images.shape, np.uint8)
    labels = torch.arange(count) % CLASSES
    pool = GallerySample(unit(torch.randn(POOL, OLD)), torch.arange(POOL) % CLASSES, torch.arange(POOL) % (4 * count))
    return TrainingData(Prepared(images), labels, unit(torch.randn(count, OLD)), torch.ones(count).bool(), pool)


class Bare:
    """The usual training loop: classification, and nothing else."""

    def __init__(self, encoder: Encoder, data: TrainingData, how: Schedule, pairs: int) -> None:
        self.data, self.how, self.pairs = data, how, pairs
        head = nn.Sequential(nn.Linear(encoder.width, OLD + 32), CosineClassifier(OLD + 32, CLASSES, 16.0))
        self.encoder, self.head = encoder.to(how.device), head.to(how.device)
        parameters = [*encoder.parameters(), *head.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=how.lr, weight_decay=how.weight_decay, fused=True)

    def step(self) -> None:
        self.encoder.train()
        rows = torch.randint(len(self.data.items), (self.how.batch,))
        drawn = torch.cat([rows, torch.randint(len(self.data.items), (self.pairs,))])
        inputs = self.encoder.augment(self.data.items.batch(drawn).to(self.how.device))
        with torch.autocast(self.how.device, torch.bfloat16, enabled=self.how.precision == "bf16"):
            features = self.encoder(inputs)[: len(rows)]
        labels = self.data.labels[rows].to(self.how.device)
        loss = cross_entropy(self.head(features.float()), labels, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def in_turns(name: str, epochs: int, items: int, method: str, sample: int, device: str) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    precision = "bf16" if has_bf16(device) else "f32"
    how = Schedule(epochs, BATCH, 1e-3, 1e-4, sample, 128, 0, precision, device=device)
    both: list[np.ndarray] = []
    bare: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as scratch, progress(quiet=False) as bar:
        data = drawn(encoder, items, Path(scratch))
        other = Bare(copy.deepcopy(encoder), data, how, how.pairs if TRAINED[method].needs_pairs else 0)
        assert data.pool is not None
        old = OldSpace(OLD, torch.randn(CLASSES, OLD), torch.full((CLASSES,), POOL // CLASSES), data.pool)
        made = TRAINED[method](MethodContext(encoder.width, CLASSES, 0, old), TRAINED[method].settings_type())
        bar.start("training", epochs * items)
        draw = step_shower("model", bar)
        spent, began = np.zeros(2), clocks(device)

        def turn(step: Step) -> None:
            nonlocal spent
            draw(step)
            start = clocks(device)
            other.step()
            spent = spent + clocks(device) - start

        def end(epoch: Epoch) -> None:
            nonlocal spent, began
            both.append(clocks(device) - began)
            bare.append(spent)
            spent, began = np.zeros(2), clocks(device)

        checkpoints = Checkpoints(ObjectStore(Path(scratch)), "checkpoint.safetensors", "recipe")
        fit(Task(encoder, made, data, how, checkpoints), Watcher(turn, end))
    theirs = np.array(bare[1:])
    mine = np.array(both[1:]) - theirs
    rows = f"{sample:,}" if made.needs_sample else "-"
    rates = " | ".join(f"{items / np.median(one[:, 0]):,.0f}" for one in (theirs, mine))
    wall, cpu = np.median(theirs / mine, axis=0)
    return f"| {name} | {method} | {rows} | {precision} | {rates} | {wall:.2f} | {cpu:.2f} |"


def clocks(device: str) -> np.ndarray:
    """Wall and CPU seconds, when the device has done all that it was given. On a busy CPU, compare the second."""
    if device == "cuda":
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])


def gallery(rows: int, folder: Path) -> None:
    """A Parquet gallery, written in pieces so that writing takes no memory to speak of."""
    random = np.random.default_rng(0)
    schema = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), 64)), ("label", pa.string())])
    with pq.ParquetWriter(folder / "gallery.parquet", schema) as writer:
        for start in range(0, rows, 20_000):
            ids = [f"r{number:08d}" for number in range(start, start + 20_000)]
            flat = pa.array(random.normal(size=20_000 * 64).astype(np.float32))
            labels = [f"c{number % CLASSES:03d}" for number in range(20_000)]
            vectors = pa.FixedSizeListArray.from_arrays(flat, 64)
            writer.write_table(pa.table([ids, vectors, labels], schema=schema), row_group_size=20_000)
    table = pq.ParquetFile(folder / "gallery.parquet").read_row_group(0).slice(0, 4_000)
    pq.write_table(table, folder / "items.parquet")


def peak_memory(rows: int, device: str) -> tuple[float, float]:
    """Megabytes at the peak, and seconds, of a process that trains against `rows` stored rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gallery(rows, folder)
        run(folder, "init")
        run(folder, "gallery", "add", "g", "gallery.parquet", "--space", "old")
        began = time.perf_counter()
        options = ["--epochs", "2", "--device", device, "-q"]
        done = run(folder, "train", "v2", "--gallery", "g", "--items", "items.parquet", *options)
        return int(done.stderr.splitlines()[-1]) / 1024, time.perf_counter() - began


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Not ru_maxrss: that is the parent's where it was the larger one.
    code = """if True:
        import atexit, re, sys
        from pathlib import Path
        from skipfill.cli.app import main
        peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
        atexit.register(lambda: print(peak(), file=sys.stderr))
        main()
    """
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--items", type=int, default=8_192)
    parser.add_argument("--methods", nargs="+", default=["gallery"])
    parser.add_argument("--samples", nargs="+", type=int, default=[512])
    parser.add_argument("--nets", nargs="+", type=int, default=range(len(ENCODERS)), help="numbers, from 0")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["FORCE_COLOR"] = "1"  # the bar is drawn as on a terminal
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n")
    columns = ["net", "method", "stored rows", "precision", "bare items/s", "skipfill items/s", "ratio", "CPU ratio"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for number in options.nets:
        for method in options.methods:
            for sample in options.samples if TRAINED[method].needs_sample else [0]:
                name = list(ENCODERS)[number]
                print(in_turns(name, options.epochs, options.items, method, sample, options.device), flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f}\n")
    if not options.skip_memory:
        for rows in (FEW, MANY):
            memory, seconds = peak_memory(rows, options.device)
            print(f"train against {rows:,} rows: peak {memory:,.0f} MB, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
