"""skipfill history | status"""

from __future__ import annotations

from dataclasses import asdict

from skipfill.cli.commands.gallery import released
from skipfill.cli.options import GalleryName, Json, Store, opened
from skipfill.cli.terminal import emit, table


def history(gallery: GalleryName, store: Store = None, json: Json = False) -> None:
    """Show every version of a gallery: what happened, when, by whom, and on what evidence.

    Example: skipfill history products
    """
    from skipfill.store import versions

    log = versions.history(opened(store), gallery)
    rows = [
        (
            one.number,
            one.action,
            released(one),
            one.release.check if one.release and one.release.check else "-",
            one.at[:19].replace("T", " "),
            one.by,
            one.reason,
        )
        for one in log
    ]
    emit(
        {"gallery": gallery, "versions": [asdict(one) for one in log]},
        as_json=json,
        show=lambda out: out.print(
            table(["version", "what", "queries use", "check", "when (UTC)", "who", "why"], rows, numbers=["version"])
        ),
    )


def status(store: Store = None, json: Json = False) -> None:
    """Show what queries of each gallery use now.

    Example: skipfill status
    """
    from skipfill.store.versions import gallery_names, latest

    objects = opened(store)
    found = {name: latest(objects, name) for name in gallery_names(objects)}
    rows = [
        (
            name,
            released(now),
            f"{now.space} prefix {now.release.view.dim}" if now.release else "-",
            now.number,
            now.at[:19].replace("T", " "),
        )
        for name, now in found.items()
    ]
    emit(
        {"galleries": {name: asdict(now) for name, now in found.items()}},
        as_json=json,
        show=lambda out: out.print(
            table(["gallery", "queries use", "view", "version", "since (UTC)"], rows, numbers=["version"])
        ),
    )
