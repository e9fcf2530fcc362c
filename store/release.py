"""Swap and rollback: one new version in the gallery's log. No Parquet file is opened, whatever the gallery's size."""

from __future__ import annotations

from dataclasses import replace

from skipfill.store.checks import Report, newest_passing
from skipfill.store.errors import BadInput, NotAcceptable
from skipfill.store.models import Card
from skipfill.store.objects import Objects
from skipfill.store.versions import Release, Version, View, commit, latest, read


def view_onto(card: Card, space: str) -> View:
    """The model's view onto `space`.

    Raises:
        BadInput: the model was not trained for that space.
    """
    if space not in card.views:
        raise BadInput(
            f"model {card.name}",
            expected=f"a view onto the gallery's space {space!r}",
            found=f"views onto {', '.join(sorted(card.views))}",
            hint="Train a compatible one with: skipfill train NAME --gallery GALLERY --items FILES --method gallery",
        )
    return card.views[space]


def planned_swap(objects: Objects, gallery: str, card: Card, without_check: str = "") -> Version:
    """The version that a swap to `card` would append. Writes nothing.

    Args:
        without_check: a reason for swapping without a passing check; it is recorded.

    Raises:
        NotAcceptable: no passing check of this model on the gallery as it is now.
        BadInput: the model has no view onto the gallery's space, or it is released already.
    """
    now = latest(objects, gallery)
    view = view_onto(card, now.space)
    if now.release is not None and now.release.fingerprint == card.fingerprint:
        raise BadInput(
            f"gallery {gallery}",
            expected=f"a release other than {card.name}",
            found=f"{card.name} released already (version {now.number})",
        )
    passing: Report | None = None
    if not without_check:
        passing = newest_passing(objects, gallery, card.fingerprint, now.state)
        if passing is None:
            raise NotAcceptable(
                f"gallery {gallery} version {now.number}: expected a passing check of {card.name}, found none",
                f"Run: skipfill check {gallery} {card.name} --items HELDOUT.parquet",
            )
    release = Release(card.name, card.fingerprint, view, passing.id if passing else "", without_check)
    return replace(now, number=now.number + 1, action="swapped", release=release, undo=now.number, reason=without_check)


def swap(objects: Objects, gallery: str, card: Card, without_check: str = "") -> Version:
    """Make `card` the model that queries use: see `planned_swap`.

    Raises:
        Stale: another change was first.
    """
    return commit(objects, gallery, planned_swap(objects, gallery, card, without_check))


def planned_rollback(objects: Objects, gallery: str, reason: str = "") -> Version:
    """The version that a rollback would append: the release before the swap in force. Writes nothing.

    Raises:
        BadInput: no swap is in force.
    """
    now = latest(objects, gallery)
    if now.undo == 0:
        raise BadInput(
            f"gallery {gallery}",
            expected="a swap in force to roll back",
            found=f"none (version {now.number} was {now.action})",
            hint=f"See: skipfill history {gallery}",
        )
    before = read(objects, gallery, now.undo)
    return replace(
        now, number=now.number + 1, action="rolled back", release=before.release, undo=before.undo, reason=reason
    )


def rollback(objects: Objects, gallery: str, reason: str = "") -> Version:
    """Bring back the release before the swap in force, as a new version. Needs no model and no accelerator."""
    return commit(objects, gallery, planned_rollback(objects, gallery, reason))
