"""Spaces: vectors of one space can be compared. A space is immutable and stays when its model is deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from skipfill.store.errors import Advice, BadInput, in_the_store, unknown_name
from skipfill.store.parquet.vectors import Similarity
from skipfill.store.storage import quarantine
from skipfill.store.storage.layout import SPACES, space_key, space_of_key, valid_name
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, Older, fitted, parsed, refuse_newer

FORMAT = 2
"""Written only for spaces that need it, so that older releases read all others: 2 has views other than prefixes."""
PREFIXES_ONLY = 1


@dataclass(frozen=True)
class Space:
    """The output of one encoder, within which vectors can be compared.

    Attributes:
        name: the space's name; a model's own space carries the model's name.
        dim: number of coordinates.
        metric: `cosine` or `ip` (inner product); higher is nearer in both.
        fingerprint: of the encoder that fills the space; empty when it is known only by its vectors.
        classes: those the encoder knows; empty when unknown.
        slots: class -> vertex of the simplex that models share; empty for a space without one.
        views: earlier space -> view from this one onto it, so that a model of a later space can reach them all.
    """

    name: str
    dim: int
    metric: Similarity = "cosine"
    fingerprint: str = ""
    classes: list[str] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    format: int = PREFIXES_ONLY

    @property
    def identity(self) -> tuple[int, Similarity, str]:
        """The properties that two registrations of one space share; the others may be unknown to one of them."""
        return self.dim, self.metric, self.fingerprint


def register_space(objects: ObjectStore, space: Space) -> None:
    """Register `space`, unless the same one is registered already.

    Raises:
        BadInput: another space (other dim, metric or encoder) has this name already.
    """
    if not objects.put_new(space_key(space.name), _json(space)):
        refuse_another_space(load_space(objects, space.name), space)
        # Written again as it is, so that no prune takes it for a leftover of a killed run.
        objects.replace(space_key(space.name), quarantine.read(objects, space_key(space.name)))


def ensure_space(objects: ObjectStore, space: Space) -> None:
    """Write a space that a commit refers to, unless it is there: see `store.storage.quarantine`."""
    quarantine.ensure(objects, space_key(space.name), _json(space))


def space_document(space: Space) -> dict[str, Any]:
    """A space as JSON values, in the oldest format that can hold it."""
    return asdict(replace(space, format=FORMAT if beyond_prefixes(space.views) else PREFIXES_ONLY))


def _json(space: Space) -> bytes:
    return json.dumps(space_document(space)).encode()


def refuse_another_space(registered: Space, space: Space) -> None:
    """Raise `BadInput` unless `space` is the same as the `registered` one of its name."""
    if registered.identity != space.identity:
        raise BadInput(
            f"space {space.name}",
            expected=_described(registered),
            found=_described(space),
            hint=Advice("name_another_space"),
        )


def _described(space: Space) -> str:
    return f"dim {space.dim}, metric {space.metric}, encoder {space.fingerprint[:12] or 'external'}"


def space_names(objects: ObjectStore) -> list[str]:
    """Names of the registered spaces."""
    return [space_of_key(file) for file in objects.children(SPACES)]


def load_space(objects: ObjectStore, name: str) -> Space:
    """Read a registered space.

    Raises:
        BadInput: there is none of this name (the nearest names are offered), or it is damaged.
    """
    where = objects.root / space_key(name)
    try:
        data = quarantine.read(objects, space_key(name))
    except FileNotFoundError:
        raise unknown_name("space", name, space_names(objects)) from None
    with in_the_store():
        space = space_from(parsed(data, where, LARGEST_STORED), where)
    if space.name != name:
        raise BadInput(where, expected=f"space {name}", found=repr(space.name))
    return space


def space_from(raw: Any, where: object) -> Space:
    """Make a space from the JSON value `raw`.

    Raises:
        BadInput: a newer format, a missing or unknown key, a value of another type, or a name or dimension that no
            space can have.
    """
    refuse_newer(raw, where, "space", FORMAT)
    older: Older = {Space: {"slots": lambda read: slots_by_order(read["classes"])}}
    space = fitted(Space, raw, where, older)
    for name in (space.name, *space.views):
        valid_name("space", name)
    if space.dim < 1:
        raise BadInput(where, expected="a dimension of 1 or more", found=str(space.dim))
    return space


def slots_by_order(classes: list[str]) -> dict[str, int]:
    """The slots for files without any: older releases went by the order of the classes."""
    return {label: slot for slot, label in enumerate(classes)}


@dataclass(frozen=True)
class View:
    """A named map from a model's space onto an earlier space. All of them return L2-normalised vectors.

    Attributes:
        dim: dimension of the earlier space.
        kind: `prefix` keeps the first `dim` coordinates; `dim` equal to the model's own dimension is the identity.
            The others need the model's bundle: `linear` is a linear map with a constant, `residual` the same with a
            small network, and `blend` one of these mixed with the query's vector by the old encoder.
    """

    dim: int
    kind: Literal["prefix", "linear", "residual", "blend"] = "prefix"

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise BadInput("view", expected="at least one coordinate", found=str(self.dim))

    def __str__(self) -> str:
        return f"{self.kind} {self.dim}"

    def then(self, onward: View) -> View | None:
        """The view onto an earlier space through this view's space; None where `onward` is not a prefix.

        A prefix of any map is a map of the same kind. Other maps are not chained: each was fitted to the vectors of its
        space's own model.
        """
        return View(min(self.dim, onward.dim), self.kind) if onward.kind == "prefix" else None


def beyond_prefixes(views: Mapping[str, View]) -> bool:
    """Whether some view is not a prefix, so that only releases that know the other kinds can use it."""
    return any(view.kind != "prefix" for view in views.values())
