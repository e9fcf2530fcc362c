"""skipfill history"""

from __future__ import annotations

from dataclasses import asdict

from skipfill.cli.options import GalleryName, Json, Store, opened
from skipfill.cli.terminal import emit, released, short_time, table


def history(gallery: GalleryName, store: Store = None, json: Json = False) -> None:
    """Show every version of a gallery: what happened, when, by whom, and on what evidence.

    Example: skipfill history products
    """
    from skipfill.store.galleries.log import history as entries

    log = entries(opened(store), gallery)
    rows = [
        (
            version.number,
            version.action,
            released(version),
            version.release.check if version.release and version.release.check else "-",
            short_time(version.at),
            version.by,
            version.reason,
        )
        for version in log
    ]
    emit(
        {"gallery": gallery, "versions": [asdict(version) for version in log]},
        as_json=json,
        show=lambda out: out.print(
            table(["version", "what", "queries use", "check", "when (UTC)", "who", "why"], rows, numbers=["version"])
        ),
    )
