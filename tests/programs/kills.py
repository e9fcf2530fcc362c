"""Run a function in a child, and kill it at the n-th file-system call that its threads make in a folder.

Or let the disk fail from that call on. Linux on x86-64 only. A seccomp filter stops the child at the calls below, and
ptrace tells which file each call is about. SIGKILL comes before the n-th call is made. The parent may have no other
child meanwhile.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

# Calls that a file system may lack, and the errors that say so.
LINKS = frozenset({"link", "linkat"})
LACKING = {"EPERM": errno.EPERM, "ENOTSUP": errno.ENOTSUP, "ENOSYS": errno.ENOSYS}

# Calls that change a file system's names, or say that they are to last.
CHANGING = frozenset(
    {
        "mkdir",
        "mkdirat",
        "link",
        "linkat",
        "rename",
        "renameat",
        "renameat2",
        "fsync",
        "unlink",
        "unlinkat",
        "ftruncate",
    }
)

# Number, and which arguments are paths (p), file handles (f) or a folder's handle with a path after it (d).
CALLS = {
    "read": (0, "f0"), "write": (1, "f0"), "open": (2, "p0"), "close": (3, "f0"), "stat": (4, "p0"),
    "fstat": (5, "f0"), "lstat": (6, "p0"), "lseek": (8, "f0"), "mmap": (9, "f4"), "pread64": (17, "f0"),
    "pwrite64": (18, "f0"), "readv": (19, "f0"), "writev": (20, "f0"), "access": (21, "p0"), "sendfile": (40, "f0"),
    "flock": (73, "f0"), "fsync": (74, "f0"), "fdatasync": (75, "f0"), "truncate": (76, "p0"), "ftruncate": (77, "f0"),
    "rename": (82, "p0p1"), "mkdir": (83, "p0"), "rmdir": (84, "p0"), "creat": (85, "p0"), "link": (86, "p0p1"),
    "unlink": (87, "p0"), "symlink": (88, "p1"), "readlink": (89, "p0"), "chmod": (90, "p0"), "fchmod": (91, "f0"),
    "getdents64": (217, "f0"), "openat": (257, "d0"), "mkdirat": (258, "d0"), "newfstatat": (262, "d0"),
    "unlinkat": (263, "d0"), "renameat": (264, "d0d2"), "linkat": (265, "d0d2"), "readlinkat": (267, "d0"),
    "fchmodat": (268, "d0"), "faccessat": (269, "d0"), "utimensat": (280, "d0"), "fallocate": (285, "f0"),
    "preadv": (295, "f0"), "pwritev": (296, "f0"), "renameat2": (316, "d0d2"), "copy_file_range": (326, "f2"),
    "statx": (332, "d0"), "faccessat2": (439, "d0"),
}  # fmt: skip
BY_NUMBER = {number: (name, spec) for name, (number, spec) in CALLS.items()}

TRACE_ME, CONTINUE, GET_REGISTERS, SET_REGISTERS, SET_OPTIONS, SYSCALL_INFO = 0, 7, 12, 13, 0x4200, 0x420E
RESULT, CALL = 10, 15  # among the 27 registers: rax and orig_rax
OPTIONS = 0x2 | 0x4 | 0x8 | 0x80 | 0x100000  # follow forks, vforks and threads; seccomp; no child outlives us
STOP_AT_SECCOMP, ALL_THREADS = 7, 0x40000000
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2
RETURN_TRACE, RETURN_ALLOW = 0x7FF00000, 0x7FFF0000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("k", ctypes.c_uint))


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.POINTER(Instruction)))


class SyscallInfo(ctypes.Structure):
    _fields_ = (
        ("op", ctypes.c_ubyte),
        ("pad", ctypes.c_ubyte * 3),
        ("arch", ctypes.c_uint),
        ("ip", ctypes.c_ulonglong),
        ("sp", ctypes.c_ulonglong),
        ("number", ctypes.c_ulonglong),
        ("arguments", ctypes.c_ulonglong * 6),
        ("data", ctypes.c_uint),
    )


@dataclass(frozen=True)
class Failure:
    """A way in which a disk fails.

    Attributes:
        number: the error's.
        calls: which fail; of those that open a file, only when they create it.
    """

    number: int
    calls: frozenset[str]


NAMES = frozenset({"open", "openat", "creat", "mkdir", "mkdirat", "link", "linkat", "rename", "renameat", "renameat2"})
FAILURES = {
    "disk full": Failure(errno.ENOSPC, NAMES | {"write", "writev", "pwrite64", "pwritev", "ftruncate", "fallocate"}),
    "permission lost": Failure(errno.EACCES, NAMES | {"unlink", "unlinkat", "rmdir"}),
    "disk error": Failure(errno.EIO, frozenset({"write", "writev", "pwrite64", "pwritev", "fsync", "fdatasync"})),
    "read-only": Failure(errno.EROFS, NAMES | {"unlink", "unlinkat", "rmdir", "ftruncate", "fallocate", "fchmod"}),
}


@dataclass(frozen=True)
class Ended:
    """The end of the child.

    Attributes:
        code: its exit code; minus the signal that killed it.
        calls: name and path of every call in the folder, the one it was killed at last.
    """

    code: int
    calls: list[tuple[str, str]]


def run_interrupted(
    act: Callable[[], int],
    inside: Callable[[str], bool],
    at: int | None,
    failure: Failure | None = None,
    lacking: Sequence[Failure] = (),
    counted: Collection[str] = tuple(CALLS),
) -> Ended:
    """Run `act` in a child; kill it at call number `at`, from 1, of those whose path is `inside`; None: let it end.

    Args:
        failure: do not kill it; let such calls fail from number `at` on.
        lacking: calls that always fail, whatever else happens.
        counted: names of the calls that count.
    """
    child = os.fork()
    if child == 0:
        _child(act)
    os.waitpid(child, 0)  # it has stopped itself
    _ptrace(SET_OPTIONS, child, OPTIONS)
    _ptrace(CONTINUE, child, 0)
    seen: list[tuple[str, str]] = []
    while True:
        thread, status = os.waitpid(-1, ALL_THREADS)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if thread == child:
                return Ended(os.waitstatus_to_exitcode(status), seen)
            continue
        passed_on = os.WSTOPSIG(status)
        if status >> 16 == STOP_AT_SECCOMP:
            name, creates, paths = _call(thread)
            found = [path for path in paths if name in counted and inside(path)]
            if found:
                seen.append((name, found[-1]))
                if failure is None and len(seen) == at:
                    os.kill(child, signal.SIGKILL)
                    continue
                if failure is not None and at is not None and len(seen) >= at and name in failure.calls and creates:
                    _fail(thread, failure.number)
                elif creates and (lack := next((one for one in lacking if name in one.calls), None)):
                    _fail(thread, lack.number)
        if passed_on in (signal.SIGTRAP, signal.SIGSTOP):  # ptrace's own, and the first one of a thread
            passed_on = 0
        _ptrace(CONTINUE, thread, passed_on)


def _child(act: Callable[[], int]) -> None:
    code = 70
    try:
        _ptrace(TRACE_ME, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        _stop_at_calls()
        signal.alarm(120)
        code = act()
    finally:
        os._exit(code)


def _stop_at_calls() -> None:
    numbers = sorted(BY_NUMBER)
    code = [Instruction(0x20, 0, 0, 0)]  # load the call's number
    code += [Instruction(0x15, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    code += [Instruction(0x06, 0, 0, RETURN_ALLOW), Instruction(0x06, 0, 0, RETURN_TRACE)]
    program = Program(len(code), (Instruction * len(code))(*code))
    zero = ctypes.c_ulong(0)
    if libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
        SET_SECCOMP, ctypes.c_ulong(FILTER), ctypes.byref(program), zero, zero
    ):
        raise OSError(ctypes.get_errno(), "seccomp")


def _fail(thread: int, number: int) -> None:
    """Skip the call that the thread is about to make, and return an error from it."""
    registers = (ctypes.c_ulonglong * 27)()
    _ptrace(GET_REGISTERS, thread, ctypes.addressof(registers))
    registers[CALL], registers[RESULT] = 2**64 - 1, 2**64 - number
    _ptrace(SET_REGISTERS, thread, ctypes.addressof(registers))


def _call(thread: int) -> tuple[str, bool, list[str]]:
    """Name; whether it would create a file, if it is one that opens; paths."""
    info = SyscallInfo()
    _ptrace(SYSCALL_INFO, thread, ctypes.addressof(info), address=ctypes.sizeof(info))
    name, spec = BY_NUMBER[info.number]
    values = list(info.arguments)
    flags = os.O_CREAT if name not in ("open", "openat") else values[1 if name == "open" else 2]
    creates = bool(flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY))
    return name, creates, [_path(thread, spec[i], values[int(spec[i + 1]) :]) for i in range(0, len(spec), 2)]


def _path(thread: int, kind: str, values: list[int]) -> str:
    if kind == "f":
        return _handle(thread, values[0])
    text = _text(thread, values[0 if kind == "p" else 1])
    if text.startswith("/"):
        return text
    below = _handle(thread, values[0]) if kind == "d" else ""
    return str(Path(below or Path(f"/proc/{thread}/cwd").readlink(), text))


def _handle(thread: int, handle: int) -> str:
    try:
        return str(Path(f"/proc/{thread}/fd/{ctypes.c_int(handle & 0xFFFFFFFF).value}").readlink())
    except OSError:
        return ""


def _text(thread: int, address: int) -> str:
    if not address:
        return ""
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        memory.seek(address)
        found = memory.read(4096 - address % 4096)
        return (found if b"\0" in found else found + memory.read(4096)).split(b"\0")[0].decode(errors="replace")


def _ptrace(request: int, thread: int, data: int, address: int = 0) -> None:
    if libc.ptrace(request, thread, address, data) < 0:
        number = ctypes.get_errno()
        if number != 3:  # no such process: it was killed
            raise OSError(number, f"ptrace {request:#x}: {os.strerror(number)}")


def main() -> None:
    """Run Python code, and kill it at the n-th call that changes the folder's files: FOLDER N CODE ARGUMENTS...

    The exit code is 0 where it ended with 0, 9 where it was killed, and 1 otherwise.
    """
    folder, at, code, *sys.argv[1:] = sys.argv[1:]

    def act() -> int:
        exec(code, {})
        return 0

    ended = run_interrupted(act, lambda path: path.startswith(folder), int(at), counted=CHANGING)
    sys.exit({0: 0, -signal.SIGKILL: 9}.get(ended.code, 1))
