"""skipfill history"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from skipfill.cli.commands.gallery import released
from skipfill.cli.options import GalleryName, Json, Store, opened
from skipfill.cli.terminal import emit, short_time, table

if TYPE_CHECKING:
    pass


def history(gallery: GalleryName, store: Store = None, json: Json = False) -> None:
    """Show every version of a gallery: what happened, when, by whom, and on what evidence.

    Example: skipfill history products
    """
    from skipfill.store.galleries.log import history as entries

    log = entries(opened(store), gallery)
    rows = [
        (
            one.number,
            one.action,
            released(one),
            one.release.check if one.release and one.release.check else "-",
            short_time(one.at),
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
