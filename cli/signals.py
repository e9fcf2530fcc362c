"""Ends the process at Ctrl-C, SIGTERM or SIGHUP: at once, with one message, and with nothing temporary left behind.

No exception is raised: a library could swallow it, or turn it into another error. A store is whole after a kill at any
moment, so there is nothing to unwind: child processes are ended and temporary files removed, that is all. Where the
main thread is inside a long call of a library, which Python's handler has to wait for, a thread does the same.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skipfill.cli.terminal import failure
from skipfill.store.storage.unfinished import remove_temporaries

MESSAGES = {"SIGINT": "interrupted", "SIGTERM": "ended by SIGTERM", "SIGHUP": "ended by SIGHUP"}
PATIENCE = 0.3  # seconds for the main thread to come out of a call
CLEANING = 5.0  # seconds for removing temporary files; another signal ends it


class _Ending:
    """State of this process.

    Attributes:
        codes: number of each signal that ends it -> the exit code; empty where nothing listens.
        finished: the exit code, when the command is over and only the interpreter has to end.
        silent: whether to say nothing when it ends.
        hint: the next step after an interruption; empty for that of any command.
    """

    codes: dict[int, int] = {}  # noqa: RUF012
    finished: int | None = None
    silent = False
    hint = ""
    begun = threading.Lock()


def end_on_signals() -> None:
    """From now on, end this process at a signal. One that was ignored from the start, as by nohup, stays ignored."""
    if _Ending.codes:
        return
    numbers = [getattr(signal, name) for name in MESSAGES if hasattr(signal, name)]
    _Ending.codes = {number: 128 + number for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    # The system's handler writes here whatever the main thread does.
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    for number in _Ending.codes:
        signal.signal(number, _handle)
    atexit.register(_ignore)
    if hasattr(os, "register_at_fork"):
        # A signal to the child must find its own handlers: ours would tell the parent.
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_forget)


def finished(code: int) -> None:
    """Say that the command is over: a signal that comes now ends the interpreter, and changes nothing else."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    _Ending.finished = code


@contextmanager
def silently() -> Iterator[None]:
    """Let a signal in the block end the process without a message: it is how the user ends this command."""
    _Ending.silent = True
    try:
        yield
    finally:
        _Ending.silent = False


@contextmanager
def hinting(hint: str) -> Iterator[None]:
    """Let a signal in the block end the process with this hint: running the same command again would not continue."""
    _Ending.hint = hint
    try:
        yield
    finally:
        _Ending.hint = ""


def _handle(number: int, _frame: object) -> None:
    for listened in _Ending.codes:
        signal.signal(listened, lambda *_: None)  # a further one is for the thread that watches
    _end(number)


def _watch(reader: socket.socket) -> None:
    """End the process when the main thread does not; and at a further signal, when the cleaning does not end."""
    while (number := reader.recv(1)[0]) not in _Ending.codes:
        pass
    time.sleep(PATIENCE)
    threading.Thread(target=_end, args=(number,), daemon=True).start()
    reader.settimeout(0)
    with suppress(BlockingIOError):  # one signal may come twice, from the terminal and from the process that started us
        while reader.recv(1):
            pass
    reader.settimeout(CLEANING)
    with suppress(TimeoutError):
        reader.recv(1)
    os._exit(_code(number))


def _end(number: int) -> None:
    if not _Ending.begun.acquire(blocking=False):
        threading.Event().wait()  # the other thread ends us both
    _end_children("self")
    remove_temporaries()
    if os.environ.get("SKIPFILL_DEBUG"):
        faulthandler.dump_traceback(2)
    if not _Ending.silent and _Ending.finished is None:
        _say(MESSAGES[signal.Signals(number).name], _code(number))
    os._exit(_code(number))


def _code(number: int) -> int:
    return _Ending.codes[number] if _Ending.finished is None else _Ending.finished


def _end_children(process: str) -> None:
    """Ask all processes below one to end; Linux only. Elsewhere they get the terminal's signal."""
    for task in Path("/proc", process, "task").glob("*/children"):
        children: list[str] = []
        with suppress(OSError):
            children = task.read_text().split()
        for child in children:
            _end_children(child)
            with suppress(OSError):
                os.kill(int(child), signal.SIGTERM)


def _say(message: str, code: int) -> None:
    """Write the message past Python's buffers, which the main thread may be filling; not where nobody reads."""
    hint = _Ending.hint or failure.go_on(sys.argv[1:])
    lines = {2: f"{failure.line(message, hint)}\n"}
    with suppress(OSError, ValueError):
        if os.isatty(2):
            lines[2] = f"\r\033[K\033[?25h{lines[2]}"  # away with a progress bar, and back with the cursor that it hid
    if "--json" in sys.argv:
        lines[1] = f"{failure.document(message, hint, code)}\n"
    for handle, text in lines.items():
        with suppress(OSError, ValueError):
            if select.select([], [handle], [], 0.1)[1]:
                os.write(handle, text.encode())


def _ignore() -> None:
    """Let nothing change the exit code any more: Python calls this last, and then takes itself down."""
    for number in _Ending.codes:
        signal.signal(number, signal.SIG_IGN)


def _hold() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _Ending.codes)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _Ending.codes)


def _forget() -> None:
    """In a forked child: listen to nothing, and leave the parent's pipe alone."""
    signal.set_wakeup_fd(-1)
    for number in _Ending.codes:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _release()
    _Ending.codes = {}
    _Ending.begun = threading.Lock()
