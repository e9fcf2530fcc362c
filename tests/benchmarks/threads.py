"""Training beside other work: seconds of the same training with 1 thread, with all, and as `train` chooses.

    python tests/benchmarks/threads.py [--epochs 5] [--rounds 3] [--method oca] [--busy 1]

It trains the net of the demo on its drawings, through the command: alone, then beside one process that counts without
end. A figure is the median over the rounds of the seconds of all epochs, imports not included; the number behind it is
that of the threads in most epochs. All kinds take turns. On a machine where nothing else runs, `beside / alone` of
`train` is at most 1.7 (3.6 with threads that sleep while they wait for each other, 2.4 with two that spin).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skipfill.cli.demo_data.split import Files, write_demo_files


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a processor each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def skipfill(folder: Path, *words: object) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "skipfill.cli", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout


def seconds(folder: Path, options: argparse.Namespace, files: Files, threads: int) -> tuple[float, int]:
    """Seconds of all epochs of a training, and its threads; 0 threads lets the command choose."""
    model = f"m{len(list(folder.glob('*.ndjson')))}"
    words = ["train", model, "--items", files.items, "--gallery", "drawings", "--method", options.method]
    words += ["--epochs", options.epochs, "--threads", threads, "--device", "cpu", "--log", f"{model}.ndjson"]
    card = json.loads(skipfill(folder, *words, "--json"))["model"]
    epochs = (folder / f"{model}.ndjson").read_text().splitlines()
    return sum(json.loads(line)["seconds"] for line in epochs), card["training"]["threads"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", default="oca")
    parser.add_argument("--busy", type=int, default=1, help="processes beside the training")
    options = parser.parse_args()
    most = len(os.sched_getaffinity(0))
    print(f"{most} processors, load {os.getloadavg()[0]:.1f}\n")
    kinds = {"1 thread": 1, f"{most} threads": most, "as train chooses": 0}
    taken: dict[tuple[str, int], list[tuple[float, int]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_demo_files(folder)
        skipfill(folder, "init")
        skipfill(folder, "train", "v1", "--items", files.old_items, "--epochs", 1)
        skipfill(folder, "encode", "v1", files.gallery_items, "-o", "gallery.parquet")
        skipfill(folder, "gallery", "add", "drawings", "gallery.parquet", "--space", "v1")
        for _ in range(options.rounds):
            for count in (0, options.busy):
                for kind, threads in kinds.items():
                    with busy(count):
                        one = seconds(folder, options, files, threads)
                    taken.setdefault((kind, count), []).append(one)
                    print(f"{kind}, {count} beside: {one[0]:.1f} s, {one[1]} threads", file=sys.stderr, flush=True)
    print(f"| threads | alone, s | beside {options.busy}, s | beside / alone |\n|---|---|---|---|")
    fastest = min(float(np.median([one for one, _ in taken[kind, 0]])) for kind in kinds)
    for kind in kinds:
        alone, beside = (float(np.median([one for one, _ in taken[kind, count]])) for count in (0, options.busy))
        used = [" ".join(str(number) for _, number in taken[kind, count]) for count in (0, options.busy)]
        print(f"| {kind} | {alone:.1f} ({used[0]}) | {beside:.1f} ({used[1]}) | {beside / alone:.2f} |")
    print(f"\nFastest alone: {fastest:.1f} s. Load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
