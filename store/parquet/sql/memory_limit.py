"""A limit on the memory of this process, for work whose need of memory is not known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_beside(now_and: int) -> Iterator[None]:
    """Let this process take at most `now_and` bytes more than it has now, where the system can limit that.

    A request for more memory fails, in every thread. RLIMIT_DATA counts what a process can write to, including what it
    has not written yet.
    """
    try:
        import resource

        status = Path("/proc/self/status").read_text()
    except (ImportError, OSError):
        yield
        return
    has = int(status.split("VmData:")[1].split()[0]) << 10
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [one for one in before if one != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([has + now_and, *limits]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
