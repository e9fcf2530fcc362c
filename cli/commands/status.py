"""skipfill status"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from skipfill.cli import completion
from skipfill.cli.error_messages import message
from skipfill.cli.options import Json, Store, opened
from skipfill.cli.signals import silently
from skipfill.cli.terminal.failure import SCHEMA_VERSION
from skipfill.cli.terminal.next_command import FIRST_GALLERY, from_source
from skipfill.cli.terminal.printing import (
    emit,
    facts,
    policy_line,
    printer,
    short_time,
    show_next,
    table,
    view_words,
)
from skipfill.store.releases.forced_words import forced_words

if TYPE_CHECKING:
    from skipfill.store.galleries.log import Version
    from skipfill.store.releases.grounds import Grounds
    from skipfill.store.storage.object_store import ObjectStore


def status(
    gallery: Annotated[
        str,
        typer.Argument(
            metavar="GALLERY",
            help="Gallery to show in full. Default: a line for each.",
            autocompletion=completion.galleries,
        ),
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Print a line now and at each change, until interrupted (exit 130).")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="With --watch: seconds between two looks at the store.")
    ] = 1.0,
    store: Store = None,
    json: Json = False,
) -> int:
    """Show the model that queries use, for one gallery or for all.

    A damaged log is shown in its gallery's row, and the exit code is 2.

    Example: skipfill status products --json
    """
    from skipfill.store.galleries.log import latest

    objects = opened(store)
    if watch:
        _watch(objects, gallery, every, as_json=json)
    elif gallery:
        _show_one(objects, gallery, latest(objects, gallery), as_json=json)
    else:
        return _show_all(objects, as_json=json)
    return 0


def _show_all(objects: ObjectStore, *, as_json: bool) -> int:
    """Show every gallery; a fault of one in its row. Return the exit code."""
    from skipfill.cli.documents.releases import StatusOfAllDocument
    from skipfill.store.galleries.log import newest_versions
    from skipfill.store.releases.grounds import grounds_of

    galleries = newest_versions(objects)
    names, now = list(galleries.in_force), galleries.in_force
    grounds = dict(zip(names, objects.read_all(lambda name: grounds_of(objects, name, now[name]), names), strict=True))
    rows: dict[str, tuple[object, ...]] = {
        name: (
            one.queries_use,
            one.number,
            short_time(one.since.at if one.since else one.at),
            ". ".join(filter(None, [_evidence(grounds[name]), *_rollbacks(grounds[name])])) or "-",
        )
        for name, one in now.items()
    }
    faults = {name: message(fault) for name, fault in galleries.faults.items()}
    rows |= {name: ("?", "-", "-", fault) for name, fault in faults.items()}
    columns = ["gallery", "queries use", "version", "since (UTC)", "check, or fault" if faults else "check"]
    lines = [(name, *rows[name]) for name in sorted(rows)]
    wrapped = ("gallery", "queries use", columns[-1])
    code = 2 if faults else 0
    emit(
        StatusOfAllDocument(
            now,
            forced_against={name: one.as_document()["forced_against"] for name, one in grounds.items()},
            grounds={name: one.as_document() for name, one in grounds.items()},
            faults=faults,
        ),
        as_json=as_json,
        show=lambda out: (
            out.print(table(columns, lines, numbers=["version"], wrap=wrapped))
            if lines
            else out.print(f"No gallery in store {objects.root}{from_source()}")
        ),
        exit_code=code,
    )
    if not lines:
        show_next(FIRST_GALLERY, quiet=as_json)
    elif not as_json:
        show_next(f"Store: {objects.root}{from_source()}", quiet=False)
    return code


def _show_one(objects: ObjectStore, gallery: str, now: Version, *, as_json: bool) -> None:
    from skipfill.cli.documents.releases import StatusDocument
    from skipfill.store.releases.evidence import indexed_since_release
    from skipfill.store.releases.grounds import grounds_of

    release, since = now.release, now.since
    grounds = grounds_of(objects, gallery, now)
    against = indexed_since_release(objects, gallery, now, grounds.since)
    cuts = [f"{one.rule}: {one.old:g} is {one.new.mean:.6g} now" for one in release.thresholds] if release else []
    rows = [
        ("queries use", now.queries_use),
        ("fingerprint", release.fingerprint[:16] if release else "-"),
        ("view", _view(now)),
        ("check", (_evidence(grounds, reason=False) or "-") + _rows_since(objects, gallery, now)),
        *([("against it since", _newest_of(against))] if against != [] else []),
        ("thresholds", ", ".join(cuts) or "-"),
        ("since", f"{short_time(since.at)} UTC, version {since.number}, by {since.by}" if since else "-"),
        ("reason", grounds.reason or "-"),
        *(("rolled back", f"{one.model}, {one.when}") for one in grounds.rolled_back),
        *([("came back", f"after the rollback {grounds.came_back.when}")] if grounds.came_back else []),
        ("version", f"{now.number}, {now.action} {short_time(now.at)} UTC by {now.by}"),
        ("rows", _rows(objects, gallery, now)),
        ("policy", policy_line(now)),
    ]
    emit(
        StatusDocument(**_in_force(objects, gallery, now), **grounds.as_document(), checks_against=against),
        as_json=as_json,
        show=lambda out: out.print(Text(f"Gallery {gallery}", "bold"), facts(rows), sep="\n"),
    )


def _watch(objects: ObjectStore, gallery: str, every: float, *, as_json: bool) -> None:
    from json import dumps

    from skipfill.cli.documents.releases import StatusLine
    from skipfill.store.errors import BadInput
    from skipfill.store.galleries.watch import followed
    from skipfill.store.releases.grounds import grounds_of

    if not gallery:
        raise BadInput("--watch", expected="the gallery to watch", found="none", hint="skipfill status GALLERY --watch")
    out = printer()
    with silently():
        for now in followed(objects, gallery, every):
            happened = f"version {now.number} {now.action} by {now.by}"
            line = f"{short_time(now.at, seconds=True)} {gallery} {happened}: queries use {now.queries_use}"
            grounds = grounds_of(objects, gallery, now)
            if grounds.forced:
                line += f", {forced_words(grounds)}"
            elif grounds.reason and now.number == now.released_at:
                line += f". Reason: {grounds.reason}"
            if as_json:
                document = StatusLine(**_in_force(objects, gallery, now), **grounds.as_document())
                line = dumps({"schema_version": SCHEMA_VERSION, **asdict(document)})
            out.print(line)


def _in_force(objects: ObjectStore, gallery: str, now: Version) -> dict[str, Any]:
    """The fields of `InForce`."""
    from skipfill.cli.documents.releases import SpaceIdentity
    from skipfill.store.spaces import load_space

    space = load_space(objects, now.space)
    return {
        "gallery": gallery,
        "version": now.as_document(),
        "space": SpaceIdentity(space.name, space.dim, space.metric, space.fingerprint),
        "policy": now.policy_in_force,
    }


def _rollbacks(grounds: Grounds) -> list[str]:
    """The rollbacks that brought the release in force, and those after which its model came back."""
    came_back = f"Came back after the rollback {grounds.came_back.when}" if grounds.came_back else ""
    return [came_back, *map(str, grounds.rolled_back)]


def _evidence(grounds: Grounds, *, reason: bool = True) -> str:
    """The check that allowed the release; for a swap without one, what it was forced against."""
    return forced_words(grounds, reason=reason) or grounds.allowed_by


def _rows_since(objects: ObjectStore, gallery: str, now: Version) -> str:
    """The remark that the rows changed since the check that allowed the release; empty where they did not."""
    from skipfill.store.errors import SkipfillError
    from skipfill.store.galleries.log import read_version

    if now.release is None or not now.release.check:
        return ""
    try:
        then = read_version(objects, gallery, now.released_at)
    except (SkipfillError, OSError):
        return ""
    return "" if then.files == now.files else f" (the rows changed since then: {then.rows:,} then, {now.rows:,} now)"


def _rows(objects: ObjectStore, gallery: str, now: Version) -> str:
    """The number of rows, and of those by later models; only the number where the file list cannot be read."""
    from skipfill.store.errors import SkipfillError
    from skipfill.store.galleries.file_list import read_files

    try:
        files = [file for file in read_files(objects, gallery, now) if file.encoder]
    except (SkipfillError, OSError):
        return f"{now.rows:,}"
    models = dict.fromkeys(file.model for file in files)
    shown = [f"{sum(one.rows for one in files if one.model == model):,} by {model}" for model in models]
    return f"{now.rows:,}" + (f", mixed: {', '.join(shown)}" if shown else "")


def _newest_of(against: list[str] | None) -> str:
    if against is None:
        return "not known, because the checks cannot be read. Next: skipfill doctor"
    return against[-1] + (f" (and {len(against) - 1} more)" if len(against) > 1 else "")


def _view(now: Version) -> str:
    return f"{view_words(now.release.view)}, in space {now.space}" if now.release else "-"
