"""Starts Python code in a fork of a process that has imported what commands import: in milliseconds, not in seconds.

The process that runs the tests starts one such server, which imports at its first request. Each of its forks is a
process of its own, to be killed, raced or limited in memory. Where there is no such server (not on Linux), or where
the start itself is what is tested, Python is started as usual.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any

ADDRESS = "SKIPFILL_TESTS_WARM"  # environment variable that names the server's socket
ROOT = Path(__file__).parents[1]

Done = subprocess.CompletedProcess[str]


class Forked:
    """A process that the server started: the part of `subprocess.Popen` that tests use."""

    def __init__(self, request: dict[str, Any], stdout: int | IO[str], stderr: int | IO[str]) -> None:
        self.returncode: int | None = None
        self.stdout, out = _stream(stdout)
        self.stderr, err = _stream(stderr)
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(os.environ[ADDRESS])
        socket.send_fds(self._connection, [json.dumps(request).encode()], [out, err])
        for given, ours in ((stdout, out), (stderr, err)):
            if given == subprocess.PIPE:
                os.close(ours)
        self.pid = int(self._connection.recv(64))

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                status, used = self._connection.recv(64).split()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout or 0) from None
            self.returncode = os.waitstatus_to_exitcode(int(status))
            _processor_seconds.append(float(used))
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return its stdout and stderr."""
        end = None if timeout is None else time.monotonic() + timeout
        read: dict[str, str] = {}
        readers = []
        for name in ("stdout", "stderr"):
            stream = getattr(self, name)
            if stream is not None:
                readers.append(
                    threading.Thread(target=lambda n=name, s=stream: read.update({n: s.read()}), daemon=True)
                )
                readers[-1].start()
        for reader in readers:
            reader.join(None if end is None else max(0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired([f"process {self.pid}"], timeout or 0)
        self.wait(None if end is None else max(0.001, end - time.monotonic()))
        return read.get("stdout", ""), read.get("stderr", "")


_processor_seconds: list[float] = []


def processor_seconds_of_forks() -> float:
    """Processor time of all processes that the server started for this one and that have ended."""
    return sum(_processor_seconds)


def _stream(given: int | IO[str]) -> tuple[IO[str] | None, int]:
    """The end that is read, if it is a pipe, and the end that the process writes to."""
    if given == subprocess.PIPE:
        reader, writer = os.pipe()
        return os.fdopen(reader), writer
    return None, given if isinstance(given, int) else given.fileno()


Started = Forked | subprocess.Popen[str]


def start(
    code: str,
    arguments: Sequence[str] = (),
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    ignoring: int | None = None,
    cold: bool = False,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.PIPE,
) -> Started:
    """Run Python code with `arguments` in a process of its own.

    Args:
        ignoring: a signal that it ignores.
        cold: start with nothing imported, even where there is a server.
    """
    environment = dict(os.environ if environment is None else environment)
    if ADDRESS in os.environ and not cold:
        request = {"code": code, "argv": [*arguments], "cwd": str(cwd), "env": environment, "ignoring": ignoring}
        return Forked(request, stdout, stderr)
    command = [sys.executable, "-c", code, *arguments]
    prepare = lambda: _prepare_signals(ignoring)  # noqa: E731
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=stdout,
        stderr=stderr,
        text=True,
        process_group=0,
        preexec_fn=prepare,
    )


def run(code: str, arguments: Sequence[object] = (), *, cwd: Path, timeout: float = 600, **given: Any) -> Done:
    """Run Python code, see `start`, and wait for its end.

    Raises:
        subprocess.TimeoutExpired: it was killed, with all that it started, because it took longer.
    """
    running = start(code, [str(one) for one in arguments], cwd=cwd, **given)
    try:
        out, err = running.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert running.returncode is not None
    return subprocess.CompletedProcess(code, running.returncode, out, err)


def program(module: str) -> str:
    """The code that runs the function `main` of a module."""
    return f"from {module} import main; main()"


def trial_in_fork(arguments: list[str], environment: dict[str, str]) -> tuple[int, bytes]:
    """Run the trial of a bundle as `skipfill.compat.inference.trial.run_main` does, in a process that starts faster."""
    done = run(program("skipfill.compat.inference.trial"), arguments, cwd=Path.cwd(), environment=environment)
    return done.returncode, done.stdout.encode()


def _prepare_signals(ignoring: int | None) -> None:
    # A shell's background job ignores SIGINT, and so would what it starts; under nohup it is SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if ignoring is not None:
        signal.signal(ignoring, signal.SIG_IGN)


def begin_server(folder: Path) -> Callable[[], None]:
    """Start a server for this process and its children. Its socket lies in `folder`. Returns a function to end it."""
    address = folder / "warm.socket"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(address))
    listener.listen(64)
    server = subprocess.Popen(
        [sys.executable, "-c", f"from tests.warm import main; main({listener.fileno()})"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        start_new_session=True,
    )
    listener.close()
    os.environ[ADDRESS] = str(address)

    def end() -> None:
        os.environ.pop(ADDRESS, None)
        server.communicate()
        address.unlink()

    return end


def serve(listener: socket.socket) -> dict[str, Any]:
    """Fork for each request, and return the request in the child. When stdin ends, end with all forks."""
    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    waiting.register(listener, selectors.EVENT_READ)
    children: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for key, _ in waiting.select():
            if key.fd == sys.stdin.fileno():
                for child, _ in children.values():
                    with suppress(ProcessLookupError):
                        os.killpg(child, signal.SIGKILL)
                os._exit(0)
            if key.fileobj is not listener:
                child, connection = children.pop(key.fd)
                waiting.unregister(key.fd)
                os.close(key.fd)
                _, status, used = os.wait4(child, 0)
                _tell(connection, f"{status} {used.ru_utime + used.ru_stime:.3f}")
                connection.close()
                continue
            preload()
            connection, _ = listener.accept()
            data, handles, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            if not data:  # the test that asked is over
                continue
            child = os.fork()
            if child == 0:
                os.setpgid(0, 0)
                for number, handle in enumerate(handles, 1):
                    os.dup2(handle, number)
                nothing = os.open(os.devnull, os.O_RDONLY)
                os.dup2(nothing, 0)
                for handle in (*handles, *children, nothing, connection.detach(), listener.detach()):
                    os.close(handle)
                for _, other in children.values():
                    other.close()
                waiting.close()
                asked: dict[str, Any] = json.loads(data)
                return asked
            for handle in handles:
                os.close(handle)
            _tell(connection, str(child))
            handle = os.pidfd_open(child)
            children[handle] = child, connection
            waiting.register(handle, selectors.EVENT_READ)


def _tell(connection: socket.socket, answer: str) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the test that asked is over
        connection.send(answer.encode())


def preload() -> None:
    """Import what commands import. Starts no thread, which a fork would not have."""
    if "skipfill.cli.app" in sys.modules:
        return
    import gc

    from tests.programs.faults import preload as imported

    imported()
    from skipfill.compat.inference import trial

    trial.run_main = trial_in_fork
    gc.collect()
    gc.freeze()


def main(listener: int) -> None:
    """Serve; and in a fork, run its code as `python -c` does."""
    request = serve(socket.socket(fileno=listener))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = ""
    sys.argv = ["-c", *request["argv"]]
    _prepare_signals(request["ignoring"])
    module = sys.modules["__main__"] = ModuleType("__main__")
    code = 1
    try:
        exec(compile(request["code"], "<string>", "exec"), module.__dict__)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # Python's own steps at its end, except for taking apart all that was imported.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = 120
        os._exit(code)
