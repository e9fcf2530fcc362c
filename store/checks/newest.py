"""The newest check of a gallery, or of a model on it, found without reading every report."""

from __future__ import annotations

from skipfill.store.checks.index import index_keys, read_index_files
from skipfill.store.checks.report import Report
from skipfill.store.checks.saved_reports import NEW_ID, check_ids, load_report, readable_report
from skipfill.store.errors import Advice, BadInput
from skipfill.store.storage.layout import states_of
from skipfill.store.storage.object_store import ObjectStore


def newest_check(objects: ObjectStore, gallery: str, fingerprint: str = "") -> str:
    """The id of the newest check: the last one on the latest version that was checked.

    Checks of one model on the same rows are ordered as they were saved, others by their clocks.

    Args:
        fingerprint: of a model; empty for any.

    Raises:
        BadInput: there is none, or a check that may be the newest is damaged.
    """
    keys = _last_keys(objects, gallery)
    entries = zip(keys, (file.entry for file in read_index_files(objects, keys)), strict=True)
    for key, entry in sorted(entries, key=lambda one: (one[1].version, one[1].created), reverse=True):
        if not fingerprint or _is_of(objects, gallery, key, entry.check, fingerprint):
            return entry.check
    ids = [check for check in check_ids(objects, gallery) if len(check) != NEW_ID]
    old = [load_report(objects, gallery, check) for check in ids]  # releases that had no index
    of_model = [report for report in old if report.fingerprint == fingerprint or not fingerprint]
    if not of_model:
        what = "of this model " if fingerprint else ""
        raise BadInput(
            f"gallery {gallery}",
            expected=f"a check {what}on it",
            found="none",
            hint=Advice("check_gallery", gallery=gallery),
        )
    return max(of_model, key=lambda report: report.created).id


def newest_report(objects: ObjectStore, gallery: str, fingerprint: str) -> Report | None:
    """The report of the newest check of a model, in whatever way it answered; None if none can be read."""
    try:
        return readable_report(objects, gallery, newest_check(objects, gallery, fingerprint))
    except BadInput:
        return None


def _last_keys(objects: ObjectStore, gallery: str) -> list[str]:
    """Keys of the last entries of the index: one for each model, and way of answering, on each state of the rows."""
    return list({key.rpartition("/")[0]: key for key in sorted(index_keys(objects, gallery))}.values())


def _is_of(objects: ObjectStore, gallery: str, key: str, check: str, fingerprint: str) -> bool:
    """Whether a check with this key in the index is of a model, perhaps as it re-ranks: that only the report tells."""
    if states_of([key.split("/")[-2]], fingerprint):
        return True
    rerank = load_report(objects, gallery, check).rerank
    return rerank is not None and rerank.model == fingerprint
