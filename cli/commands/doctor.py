"""skipfill doctor"""

from __future__ import annotations

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
    from skipfill.cli.documents.maintenance import ThreadsDocument
    from skipfill.store.maintenance.doctor import Diagnosis


def doctor(
    context: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every model, gallery and overlay in full, and compare the hashes.")
    ] = False,
    store: Store = None,
    json: Json = False,
) -> int:
    """Find what is wrong with the store, and say how to fix it.

    Also looks at the environment. Changes nothing. Exit 1 if a problem is found. Notes and leftover files of
    interrupted runs are listed, but do not count as problems.

    Example: skipfill doctor
    """
    from skipfill.cli.documents.maintenance import DoctorDocument, FindingDocument
    from skipfill.store.maintenance.doctor import diagnose

    diagnosis = diagnose(opened(store), deep=deep)
    code = 0 if diagnosis.healthy else 1
    emit(
        DoctorDocument(
            verdict="pass" if diagnosis.healthy else "fail",
            configuration=None if context.obj.path is None else str(context.obj.path),
            threads=_threads(),
            environment=diagnosis.environment,
            store=diagnosis.store,
            writable=diagnosis.writable,
            free_bytes=diagnosis.free_bytes,
            deep=diagnosis.deep,
            findings=[FindingDocument(one.kind, one.where, one.what, sentence(one.todo)) for one in diagnosis.findings],
            cache=diagnosis.cache,
            leftovers=diagnosis.leftovers,
            trainings=diagnosis.trainings,
        ),
        as_json=json,
        show=lambda out: _show(out, diagnosis, context.obj),
        exit_code=code,
    )
    return code


def _threads() -> ThreadsDocument:
    from skipfill.cli.documents.maintenance import ThreadsDocument
    from skipfill.store.engine.threads import given_threads, processors

    return ThreadsDocument(processors(), given=bool(given_threads()))


def _thread_words(threads: ThreadsDocument) -> str:
    return f"{threads.count}, " + (
        "set by OMP_NUM_THREADS" if threads.given else "or fewer for training on a CPU, if that is faster"
    )


def _show(out: Console, diagnosis: Diagnosis, configuration: Configuration) -> None:
    environment = diagnosis.environment
    extras = {extra: ", ".join(_named(packages)) for extra, packages in environment.extras.items()}
    rows = [
        ("skipfill", f"{environment.skipfill}, Python {environment.python}, {environment.system}"),
        ("packages", ", ".join(_named(environment.packages))),
        *((f"extra {extra}", packages) for extra, packages in extras.items()),
        ("threads", _thread_words(_threads())),
        ("store", f"{diagnosis.store}{_room(diagnosis)}"),
        ("cache", _cache(diagnosis)),
        ("options from", str(configuration)),
    ]
    out.print(facts(rows))
    for finding in diagnosis.findings:
        kind = (finding.kind, "bold red" if finding.kind == "problem" else "bold")
        out.print(Text.assemble(kind, f" {finding.where}: {joined(finding.what, sentence(finding.todo))}"))
    if diagnosis.leftovers:
        out.print(leftover_table(diagnosis.leftovers))
        young = sum(one.young for one in diagnosis.leftovers)
        kept = f" It keeps {young:,} younger than an hour, unless --all-ages is given." if young else ""
        seen = "Leftover files of interrupted runs, or files being written now. See: skipfill prune."
        out.print(with_store(f"{seen}{kept}"))
    if diagnosis.trainings:
        out.print(leftover_table(diagnosis.trainings))
        drop = with_store("To remove those older than a day: skipfill prune --trainings --yes")
        out.print(f"Unfinished trainings: the same train command resumes them. {drop}")
    depth = "" if diagnosis.deep else " This was a quick look; --deep reads every file."
    out.print(f"{_conclusion(diagnosis)}{depth}")


def _conclusion(diagnosis: Diagnosis) -> str:
    """The problems and notes by number: a note breaks nothing, but is there to be read."""
    problems = sum(finding.kind == "problem" for finding in diagnosis.findings)
    notes = len(diagnosis.findings) - problems
    return f"{counted(problems, 'problem') if problems else 'No problem'} found" + (
        f"; read the {counted(notes, 'note')} above." if notes else "."
    )


def _named(packages: dict[str, str]) -> list[str]:
    return [f"{name} {version or 'not installed'}" for name, version in packages.items()]


def _cache(diagnosis: Diagnosis) -> str:
    cache = diagnosis.cache
    if not cache.folder:
        return "none, because this user has no home folder"
    return f"{cache.folder}, {counted(cache.files, 'file')}, {cache.bytes:,} bytes"


def _room(diagnosis: Diagnosis) -> str:
    if diagnosis.free_bytes is None:
        return ""
    return f", {'writable' if diagnosis.writable else 'read-only'}, {diagnosis.free_bytes:,} bytes free"
