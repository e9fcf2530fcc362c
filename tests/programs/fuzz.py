"""Fuzz every target with random seeds for some minutes: python -m tests.programs.fuzz --minutes 60

Prints each failure with its seed and its smallest input. The exit code is 1 if anything failed. The process may use
4 GB of memory: an input that takes more is a failure.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.programs.hostile import TARGETS, fuzz, make_sample

MOST_MEMORY = 4 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--examples", type=int, default=50, help="per target and round")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    until, failures, rounds = time.monotonic() + 60 * asked.minutes, 0, 0
    while time.monotonic() < until:
        rounds += 1
        for name in asked.target or TARGETS:
            seed = random.SystemRandom().randrange(1 << 32)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    fuzz(TARGETS[name], make_sample(Path(folder)), examples=asked.examples, seed=seed)
                except Exception:
                    failures += 1
                    print(f"--- {name}, seed {seed}\n{traceback.format_exc()}", flush=True)
            if time.monotonic() >= until:
                break
    print(
        f"{rounds} rounds, {failures} failures, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB at most"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
