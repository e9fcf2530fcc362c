"""Trial of a bundle from elsewhere, in a process of its own, before it is added to a store.

The schema of a bundle cannot check a tokenizer's expressions, nor everything that a library does with a config.
Native code that panics, aborts, or takes memory and time without end must not do so where the store is served. So a
child process with limits loads the model and encodes its witness items.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from skipfill.store.errors import Advice, BadInput, Hint, SkipfillError
from skipfill.store.models.cards import WEIGHTS, WITNESS, Card
from skipfill.store.models.transfer import bundle_files, verified_export

SECONDS = 50  # a minute with the rest of the command
MEMORY = 3 << 28
"""Bytes that a trial may take, beside twice the bundle: once as it is read, and once as a network."""
REFUSED = 2


def try_bundle(path: Path, card: Card, *, seconds: int = SECONDS) -> None:
    """Let a child process load the model in an exported bundle and encode its witness items.

    Args:
        card: of the bundle, as it was verified.
        seconds: that the process may take.

    Raises:
        BadInput: the model cannot be loaded, or encodes differently from when it was saved; or the process crashed, or
            needed more time or memory than allowed.
    """
    # One thread: the memory of threads would count. Nothing is fetched from the hub.
    plain = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    code, out = run_main([str(path), card.fingerprint, str(seconds)], {**os.environ, **plain})
    if code == 0:
        return
    if code == REFUSED and out:
        refusal = json.loads(out.splitlines()[-1])  # libraries may have printed before it
        advice = refusal["advice"]
        raise SkipfillError(refusal["error"], Advice.of(advice, refusal["values"]) if advice else refusal["hint"])
    raise BadInput(
        path,
        expected=f"a model that loads and encodes its witness items in {seconds} s, with {MEMORY >> 20} MiB of memory "
        "beside its files",
        found=_ending(code),
        hint="Nothing was written.",
    )


def run_main(arguments: list[str], environment: dict[str, str]) -> tuple[int, bytes]:
    """Run `main` in a process of its own; its exit code, or minus the signal that ended it, and its stdout."""
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()", *arguments]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode, done.stdout


def _ending(code: int) -> str:
    if code == -signal.SIGALRM:
        return "one that takes longer"
    name = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"one whose process crashed, or took more memory ({name})"


def main() -> None:
    """Try the bundle at `sys.argv[1]` and end the process."""
    path, fingerprint, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    signal.alarm(seconds)  # by the system: native code that never returns cannot delay it
    try:
        import skipfill.compat.inference.witness  # noqa: F401 - libraries are there before the limit

        limit_memory(path)
        load_and_encode(path, fingerprint)
    except SkipfillError as error:
        refusal = _refusal(str(error), error.hint)
    except BaseException as error:  # a panic of native code is no Exception
        # Without a traceback: memory may have run out.
        refusal = _refusal(f"{path}: expected a model that encodes, found {type(error).__name__}: {str(error)[:200]}")
    else:
        os._exit(0)
    os.write(1, b"\n" + json.dumps(refusal, default=str).encode())  # libraries may have left a line without an end
    os._exit(REFUSED)


def _refusal(error: str, hint: Hint = "") -> dict[str, Any]:
    """An error for the parent process, as JSON values: its message, and its hint or its advice."""
    if isinstance(hint, str):
        return {"error": error, "hint": hint, "advice": "", "values": {}}
    return {"error": error, "hint": "", "advice": hint.key, "values": hint.values}


def load_and_encode(path: Path, fingerprint: str) -> None:
    """Load the model of a bundle in this process, and compare what it makes of its witness items.

    Raises:
        BadInput: see `try_bundle`.
    """
    from skipfill.compat.inference.bundle.schema import refuse_card
    from skipfill.compat.inference.load import loaded_from
    from skipfill.compat.inference.views import own_view
    from skipfill.compat.inference.witness import refuse_others, witness_from, witness_of
    from skipfill.compat.inference.witness_items import fixed_items

    card = verified_export(path).card
    if card.fingerprint != fingerprint:
        raise BadInput(path, expected="the bundle that was verified", found="another")
    if "python" in card.encoders:
        refuse_card(card)
        return  # code that the user did not name
    contents = dict(bundle_files(path))
    # Weights are let go as soon as they are read.
    model = loaded_from(card, lambda file: contents.pop(file) if file == WEIGHTS else contents[file])
    # The bundle's maker chose its witness items; the fixed ones reach more of its tokenizer.
    embedded = witness_of(model, fixed_items(model.network.encoder))[:, : card.dim]
    for space in model.network.maps_by_space:
        own_view(model, embedded, space)
    if WITNESS in contents:
        refuse_others(model, witness_from(contents[WITNESS], card))


def limit_memory(bundle: Path) -> None:
    """Let this process take no more memory than a trial of `bundle` may, for good, where the system can limit that.

    RLIMIT_DATA counts what a process can write to. RLIMIT_AS would count libraries too, of which torch maps gigabytes.
    """
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):
        return
    now = int(status.split("VmData:")[1].split()[0]) << 10
    most = now + MEMORY + 2 * bundle.stat().st_size
    _, allowed = resource.getrlimit(resource.RLIMIT_DATA)
    if allowed != resource.RLIM_INFINITY:
        most = min(most, allowed)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
