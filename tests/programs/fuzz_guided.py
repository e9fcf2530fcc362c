"""Fuzz every target by the code that it reaches: python -m tests.programs.fuzz_guided --minutes 20

    pip install atheris

Atheris (libFuzzer) chooses the bytes from which hypothesis makes its inputs, and keeps those that reach new code. Each
target has a process of its own, with at most 4 GB of memory. It stops at the first failure and leaves the input in the
folder given with --kept. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["skipfill"]):
    from tests.programs.hostile import QUIET, TARGETS, guarded, make_sample, test_of

MOST_MEMORY = 4096  # MB


def one(name: str, seconds: int, kept: Path) -> None:
    """Fuzz one target until the time is over, or it fails; does not return."""
    with tempfile.TemporaryDirectory() as folder:
        sample = make_sample(Path(folder))
        run = QUIET(test_of(TARGETS[name], sample)).hypothesis.fuzz_one_input  # type: ignore[attr-defined]

        def guarded_run(given: bytes) -> None:
            with guarded(sample):
                run(given)

        limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MOST_MEMORY}", "-timeout=120", "-max_len=8192"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={kept}/"], guarded_run)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="for all targets together")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--kept", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    targets = asked.target or list(TARGETS)
    seconds = round(60 * asked.minutes / len(targets))
    kept = asked.kept.resolve()
    if asked.alone:
        one(targets[0], seconds, kept)
    failed = 0
    for name in targets:
        command = [sys.executable, "-m", "tests.programs.fuzz_guided", "--alone", "--target", name, "--kept", str(kept)]
        kept.mkdir(exist_ok=True)
        done = subprocess.run([*command, "--minutes", str(seconds / 60)], capture_output=True, text=True)
        runs = [line for line in done.stderr.splitlines() if line.startswith(("#", "Done"))][-1:]
        print(f"{name}: {'failed' if done.returncode else 'ok'}. {' '.join(runs)}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stderr[-6000:], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
