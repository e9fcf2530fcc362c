"""The card of a model bundle: what the model is, and the hashes of its files (listed in this package's docstring)."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from skipfill.store.errors import Advice, BadInput, SkipfillError, Stale, in_the_store, unknown_name
from skipfill.store.spaces import Space, View, beyond_prefixes, load_space, slots_by_order
from skipfill.store.storage.layout import MODELS, card_key, model_file_key, space_key, valid_name
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import LARGEST_STORED, Older, fitted, json_digest, parsed, refuse_newer

FORMAT = 2
"""Written only for cards that need it, so that older releases read all others: 2 has views other than prefixes."""
PREFIXES_ONLY = 1
WEIGHTS = "weights.safetensors"
TRAINED_IDS = "trained_ids.parquet"
TRAINED_CONTENT = "trained_content.parquet"
LOG = "log.ndjson"
WITNESS = "witness.parquet"
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Card:
    """Description of a model, which is read without its weights.

    Attributes:
        name: also the name of its own space.
        method: how it was made.
        network: kinds and settings of its parts, from which it is built again.
        dim: dimension of its own space; embeddings are L2-normalised.
        views: space name -> view from its own space onto that one.
        classes: those it knows, the ones of the old space first.
        slots: class -> vertex of the simplex, which later models keep; empty for methods without one.
        trained_labels: classes it was trained on.
        gallery: name and version it was trained against, if any.
        recipe: every resolved setting of the training.
        losses: mean of each loss term in the last epoch.
        training: how it went: epochs, the one that was kept, items held out to choose it, processes; `built_on`,
            fingerprints of the models that it started from, imitated or was blended from, and of theirs; and
            `coverage`, numbers of gallery rows by what the items tell about their class.
        files: SHA-256 of each file of the bundle; the digest is part of the file's name.
        digest: SHA-256 of the rest of the card; empty in old ones.
    """

    name: str
    method: str
    network: dict[str, Any]
    dim: int
    views: dict[str, View]
    classes: list[str]
    trained_labels: list[str]
    trained_items: int
    gallery: dict[str, Any]
    recipe: dict[str, Any]
    losses: dict[str, float]
    created: str
    training: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    digest: str = field(default="", compare=False)
    format: int = PREFIXES_ONLY

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides the vectors: network, settings and weights."""
        return json_digest([self.network, self.files.get(WEIGHTS, "")])

    @property
    def encoder(self) -> dict[str, Any]:
        """Kind and settings of its encoder; empty for a card that does not say."""
        encoder = self.network.get("encoder")
        return encoder if isinstance(encoder, dict) else {}

    @property
    def encoders(self) -> list[Any]:
        """Kinds of its encoder and of those blended with it."""
        kinds: list[Any] = []
        network: Any = self.network
        while isinstance(network, dict):
            encoder = network.get("encoder")
            kinds.append(encoder.get("kind") if isinstance(encoder, dict) else None)
            network = network.get("old") or None
        return kinds

    @property
    def space(self) -> Space:
        """The model's own space."""
        earlier = {space: view for space, view in self.views.items() if space != self.name}
        return Space(self.name, self.dim, "cosine", self.fingerprint, self.classes, self.slots, earlier)


def is_map(card: Card) -> bool:
    """Whether it was fitted to pairs in closed form, or blends such a model with the old one."""
    return "pairs" in card.training


def needs_old_vectors(card: Card) -> bool:
    """Whether it blends in an old encoder that it does not hold, so that items bring the old vectors."""
    return str(card.recipe.get("old_vectors", "")).startswith("brought")


def lineage(card: Card) -> set[str]:
    """Fingerprints of the model and of those that it builds on, as far as its card records them."""
    built_on = card.training.get("built_on")
    return {card.fingerprint, *(built_on if isinstance(built_on, list) else [])}


def model_names(objects: ObjectStore) -> list[str]:
    """Names of the complete bundles."""
    return [name for name in objects.children(MODELS) if has_model(objects, name)]


def has_model(objects: ObjectStore, name: str) -> bool:
    """Tell whether there is a complete bundle of this name."""
    return objects.exists(card_key(name))


def bundle_of(objects: ObjectStore, fingerprint: str, *, other_than: str = "") -> str:
    """Name of a complete bundle with this fingerprint; empty for none. Bundles with a damaged card do not count.

    A store may have a model under several names, as where a pull request adds it. A release works with each of them.

    Args:
        other_than: a bundle that does not count either.
    """
    for name in model_names(objects):
        with suppress(SkipfillError):
            if name != other_than and load_card(objects, name).fingerprint == fingerprint:
                return name
    return ""


def serves(objects: ObjectStore, space: Space) -> bool:
    """Whether the encoder of a space is in the store, so that it can encode queries."""
    try:
        return load_card(objects, space.name).fingerprint == space.fingerprint
    except BadInput:
        return False


def refuse_taken(objects: ObjectStore, name: str) -> None:
    """Raise `BadInput` when a model or a space of this name exists already: bundles are immutable."""
    if has_model(objects, name) or objects.exists(space_key(name)):
        raise BadInput(
            f"model {name}",
            expected="a name that is free",
            found="a model or a space of this name",
            hint=Advice("choose_model_name"),
        )


def taken_meanwhile(name: str) -> Stale:
    """The error of a writer who lost a race for a model's name."""
    return Stale(f"model {name}: another model of this name was saved first", Advice("choose_model_name"))


def put_card(objects: ObjectStore, card: Card) -> bool:
    """Make a bundle visible once all its files are there; False when the name is taken."""
    needed = FORMAT if beyond_prefixes(card.views) else PREFIXES_ONLY
    raw = json.loads(json.dumps(asdict(replace(card, format=needed))))
    return objects.put_new(card_key(card.name), json.dumps({**raw, "digest": _digest(raw)}, indent=1).encode())


def load_card(objects: ObjectStore, name: str) -> Card:
    """Read a model's card.

    Raises:
        BadInput: no such model (the nearest names are offered), or a card of a newer format.
    """
    where = objects.root / card_key(name)
    try:
        data = objects.get(card_key(name))
    except FileNotFoundError:
        raise unknown_name("model", name, model_names(objects), Advice("see_models")) from None
    with in_the_store():
        return card_from(parsed(data, where, LARGEST_STORED), where, name)


def card_from(raw: Any, where: object, name: str = "") -> Card:
    """Make a card from the JSON value `raw`.

    Args:
        name: of the model whose card it must be; empty for any.

    Raises:
        BadInput: a newer format, a missing or unknown key, a value of another type, or a name, view or digest that
            no model can have.
    """
    refuse_newer(raw, where, "card", FORMAT)
    older: Older = {Card: {"slots": lambda read: slots_by_order(read["classes"])}}
    card = fitted(Card, raw, where, older)
    if card.name != (name or card.name):
        raise BadInput(where, expected=f"the card of {name}", found=f"that of {card.name!r}")
    for kind, names in (("model", [card.name]), ("space", card.views), ("file", card.files)):
        for part in names:
            valid_name(kind, part)
    if card.dim < max([1, *(view.dim for view in card.views.values() if view.kind == "prefix")]):
        raise BadInput(where, expected="prefixes of no more coordinates than it has", found=f"{card.dim}")
    for file, digest in card.files.items():
        if "." not in file or not SHA256.fullmatch(digest):
            raise BadInput(where, expected=f"the SHA-256 of {file!r}", found=repr(digest[:80]))
    if card.digest not in ("", _digest(raw)):
        raise BadInput(where, expected="the card as it was saved", found="one that was changed")
    return card


def _digest(raw: dict[str, Any]) -> str:
    return json_digest({key: value for key, value in raw.items() if key != "digest"})


def space_of(objects: ObjectStore, name: str) -> Space:
    """The space of model `name`, which may be gone if a gallery of it was registered.

    Raises:
        BadInput: neither a model nor a registered space of this name.
    """
    if has_model(objects, name) or not objects.exists(space_key(name)):
        return load_card(objects, name).space
    return load_space(objects, name)


def file_key(card: Card, file: str) -> str:
    """Key of a file of the bundle: `weights.safetensors` is at `weights-0123456789ab.safetensors`."""
    stem, suffix = valid_name("file", file).rsplit(".", 1)
    return model_file_key(card.name, f"{stem}-{card.files.get(file, '')[:12]}.{suffix}")


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
            hint=Advice("train_compatible"),
        )
    return card.views[space]
