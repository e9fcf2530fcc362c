"""Overlays, as commands print them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from skipfill.cli.terminal.next_command import with_store
from skipfill.cli.terminal.printing import emit, facts, short_time, table

if TYPE_CHECKING:
    from skipfill.store.models.cards import Card
    from skipfill.store.overlays.change import OverlayChange
    from skipfill.store.overlays.log import OverlayVersion
    from skipfill.store.storage.object_store import ObjectStore

SHOWN = 10


def overlay_fields(gallery: str, entry: OverlayVersion) -> dict[str, Any]:
    """The fields of an `OverlayDocument`."""
    return {"gallery": gallery, "rows": entry.rows, "bytes": bytes_of(entry), **asdict(entry)}


def bytes_of(entry: OverlayVersion) -> int:
    """Bytes of its files, together."""
    return sum(file.bytes for file in entry.files)


def show_change(gallery: str, done: OverlayChange, text: str, *, as_json: bool) -> None:
    """Print a change of an overlay, in the words of the command that made it."""
    from skipfill.cli.documents.overlays import ChangedOverlayDocument

    emit(
        ChangedOverlayDocument(**overlay_fields(gallery, done.entry), already=done.already),
        as_json=as_json,
        show=lambda out: out.print(f"{text} (now version {done.entry.number})"),
    )


def print_overlay(out: Console, gallery: str, entry: OverlayVersion, log: list[OverlayVersion]) -> None:
    """Print an overlay and its last changes."""
    out.print(
        facts(
            [
                ("gallery", gallery),
                ("model", f"{entry.model} ({entry.fingerprint[:12]})"),
                ("vectors", f"{entry.rows:,} of dimension {entry.dim}"),
                ("files", f"{len(entry.files):,}, {bytes_of(entry):,} bytes"),
            ]
        )
    )
    rows = [
        (one.number, short_time(one.at, seconds=True), one.action, f"{one.rows:,}", one.by, one.reason)
        for one in log[-SHOWN:]
    ]
    columns = ["version", "at", "change", "vectors", "by", "why"]
    out.print(table(columns, rows, numbers=["version", "vectors"], wrap=["change", "why"]))
    if len(log) > SHOWN:
        see = with_store(f"skipfill overlay show {gallery} {entry.model or entry.fingerprint[:12]} --json")
        out.print(f"{len(log) - SHOWN:,} versions before these: {see}")


def after_adding(objects: ObjectStore, gallery: str, card: Card) -> str:
    """The command after rows were added: a check of re-ranking by the model; if it re-ranks already, `overlay show`."""
    from skipfill.cli.error_messages import in_way
    from skipfill.store.checks.newest import newest_report
    from skipfill.store.checks.repeated import repeated
    from skipfill.store.checks.reranking import ModelInWay
    from skipfill.store.galleries.log import latest

    now = latest(objects, gallery)
    if now.release is not None and now.release.fingerprint == card.fingerprint and now.release.rerank is not None:
        return f"skipfill overlay show {gallery} {card.name}"
    if now.space not in card.views:
        return f"skipfill overlay show {gallery} {card.name}"
    asked = {**repeated(None, newest_report(objects, gallery, card.fingerprint)), "rerank": "10,50,200"}
    return f"skipfill check {gallery} {in_way(ModelInWay(card.name, asked))} --items HELDOUT.parquet"
