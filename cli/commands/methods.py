"""skipfill methods"""

from __future__ import annotations

from skipfill.cli.options import Json
from skipfill.cli.terminal import emit, table


def methods(json: Json = False) -> None:
    """List the training methods, what each needs, and where it comes from.

    Example: skipfill methods
    """
    from skipfill.compat.methods import METHODS

    rows = [
        {
            "name": name,
            "summary": kind.summary,
            "source": kind.source,
            "needs": [
                need
                for need, wanted in (("--gallery", kind.needs_gallery), ("--teacher", kind.needs_teacher))
                if wanted
            ],
        }
        for name, kind in METHODS.items()
    ]
    shown = [(row["name"], " ".join(row["needs"]) or "-", row["summary"]) for row in rows]
    emit({"methods": rows}, as_json=json, show=lambda out: out.print(table(["method", "needs", "what it does"], shown)))
