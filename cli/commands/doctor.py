"""skipfill doctor"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skipfill.cli.error_messages import sentence
from skipfill.cli.options import Json, Store, opened
from skipfill.cli.terminal.failure import joined
from skipfill.cli.terminal.next_command import with_store
from skipfill.cli.terminal.printing import counted, emit, facts, leftover_table

if TYPE_CHECKING:
    from rich.console import Console

    from skipfill.cli.configuration import Configuration
    from skipfill.store.maintenance.doctor import Diagnosis


def doctor(
    context: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every model and gallery in full, and compare the hashes.")
    ] = False,
    store: Store = None,
    json: Json = False,
) -> int:
    """Find what is wrong with the store, and say how to fix it.

    Also looks at the environment. Changes nothing. Exit 1 if anything is wrong. Leftover files of interrupted runs
    and missing permissions are listed, but do not count as wrong.

    Example: skipfill doctor
    """
    from skipfill.store.maintenance.doctor import diagnose

    diagnosis = diagnose(opened(store), deep=deep)
    findings = [replace(finding, todo=sentence(finding.todo)) for finding in diagnosis.findings]
    diagnosis = replace(diagnosis, findings=findings)
    code = 0 if diagnosis.healthy else 1
    emit(
        {
            "verdict": "pass" if diagnosis.healthy else "fail",
            "configuration": None if context.obj.path is None else str(context.obj.path),
            "threads": asdict(_threads()),
            **asdict(diagnosis),
        },
        as_json=json,
        show=lambda out: _show(out, diagnosis, context.obj),
        exit_code=code,
    )
    return code


@dataclass(frozen=True)
class _Threads:
    """Threads of torch.

    Attributes:
        count: OMP_NUM_THREADS; where it is not set, the number of processors that the process may use.
        given: whether OMP_NUM_THREADS is set; otherwise a training also tries fewer.
    """

    count: int
    given: bool

    def __str__(self) -> str:
        return f"{self.count}, " + (
            "set by OMP_NUM_THREADS" if self.given else "or fewer in a training on a CPU, if that is faster"
        )


def _threads() -> _Threads:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    said = int(given) if given.isdecimal() else 0
    return _Threads(said or processors, given=bool(said))


def _show(out: Console, diagnosis: Diagnosis, configuration: Configuration) -> None:
    environment = diagnosis.environment
    extras = {extra: ", ".join(_named(packages)) for extra, packages in environment.extras.items()}
    rows = [
        ("skipfill", f"{environment.skipfill}, Python {environment.python}, {environment.system}"),
        ("packages", ", ".join(_named(environment.packages))),
        *((f"extra {extra}", packages) for extra, packages in extras.items()),
        ("threads", str(_threads())),
        ("store", f"{diagnosis.store}{_room(diagnosis)}"),
        ("cache", _cache(diagnosis)),
        ("options from", str(configuration)),
    ]
    out.print(facts(rows))
    for finding in diagnosis.findings:
        kind = (finding.kind, "bold red" if finding.kind == "problem" else "bold")
        out.print(Text.assemble(kind, f" {finding.where}: {joined(finding.what, str(sentence(finding.todo)))}"))
    if diagnosis.leftovers:
        out.print(leftover_table(diagnosis.leftovers))
        out.print(with_store("Leftover files of interrupted runs, or files being written now. See: skipfill prune"))
    if diagnosis.trainings:
        out.print(leftover_table(diagnosis.trainings))
        drop = with_store("To remove those older than a day: skipfill prune --trainings --yes")
        out.print(f"Unfinished trainings: the same train command resumes them. {drop}")
    depth = "" if diagnosis.deep else " This was a quick look; --deep reads every file."
    out.print(f"{'Nothing is' if diagnosis.healthy else 'Something is'} wrong.{depth}")


def _named(packages: dict[str, str]) -> list[str]:
    return [f"{name} {version or 'not installed'}" for name, version in packages.items()]


def _cache(diagnosis: Diagnosis) -> str:
    cache = diagnosis.cache
    if not cache.folder:
        return "none, as this user has no home"
    return f"{cache.folder}, {counted(cache.files, 'file')}, {cache.bytes:,} bytes"


def _room(diagnosis: Diagnosis) -> str:
    if diagnosis.free_bytes is None:
        return ""
    return f", {'writable' if diagnosis.writable else 'read-only'}, {diagnosis.free_bytes:,} bytes free"
