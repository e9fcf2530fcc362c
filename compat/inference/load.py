"""A model read from its bundle, ready to encode items and to view them in earlier spaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load

from skipfill.compat.encoders.encoder import ReadFile
from skipfill.compat.encoders.prepared import as_float
from skipfill.compat.inference.bundle.schema import at_most, read_header, refuse_card, refuse_tensors
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.provenance import changes, told, versions
from skipfill.store.errors import Advice, BadInput, SkipfillError
from skipfill.store.models.cards import WEIGHTS, Card, load_card
from skipfill.store.models.files import read_file
from skipfill.store.parquet.items import ItemBlock, Items
from skipfill.store.parquet.vectors import Matrix
from skipfill.store.storage.object_store import ObjectStore

ITEMS_AT_ONCE = 256


@dataclass(frozen=True)
class LoadedModel:
    """A model that can encode.

    Attributes:
        card: the bundle's description.
        network: prepared items -> embeddings.
    """

    card: Card
    network: Network

    @property
    def old_model(self) -> LoadedModel | None:
        """The old encoder of a blend, in its own space; None for other models, and where items bring its vectors."""
        if self.network.blend is None or self.network.old is None:
            return None
        return LoadedModel(self.card, self.network.old)

    def embed(self, block: ItemBlock) -> Matrix:
        """(N, D) L2-normalised embeddings of a block of items in the model's own space.

        Raises:
            BadInput: the network cannot encode them.
        """
        prepared = self.network.prepare(block)
        try:
            with torch.inference_mode():
                parts = [
                    self.network([as_float(one[start : start + ITEMS_AT_ONCE]) for one in prepared])
                    for start in range(0, len(block.ids), ITEMS_AT_ONCE)
                ]
        except Exception as error:  # libraries, and the user's own code, raise what they like
            raise BadInput(
                f"model {self.card.name}",
                expected=f"a network that encodes {self.network.encoder.takes}s",
                found=_short(error),
                hint=Advice("show_traceback"),
            ) from error
        embedded: Matrix = torch.cat(parts).numpy()
        return embedded

    def refuse_other_items(self, items: Items) -> None:
        """Raise `BadInput` when the items are not of the kind that the model encodes."""
        if items.kind != self.network.encoder.takes:
            raise BadInput(
                items.where,
                expected=f"a column of {self.network.encoder.takes}s, which model {self.card.name} encodes",
                found=f"{items.kind}s in column {items.input_column}",
                hint=Advice("name_column", parameter="input"),
            )

    def encode(self, items: Items) -> Iterator[tuple[pa.Array, Matrix]]:
        """Ids and embeddings of all items, block by block, in order.

        Raises:
            BadInput: the items are not of the kind that the model encodes.
            SkipfillError: an embedding is not finite.
        """
        self.refuse_other_items(items)
        for block in items.blocks():
            yield block.ids, self.encode_block(block)

    def encode_block(self, block: ItemBlock) -> Matrix:
        """The embeddings of a block, as `embed` gives them, verified to be finite."""
        vectors = self.embed(block)
        _refuse_broken(self.card.name, vectors, block.ids)
        return vectors


def load_model(objects: ObjectStore, name: str) -> LoadedModel:
    """Load a model; its files are verified by their hashes and shapes, not by what it encodes: see `witness`.

    Raises:
        BadInput: no such model, a damaged bundle, an encoder or method that this release does not know, or an
            encoder that is the user's own code and was not permitted to run.
    """
    card = load_card(objects, name)
    return loaded_from(card, partial(read_file, objects, card))


def loaded_from(card: Card, read: ReadFile) -> LoadedModel:
    """The model of a card. The card and the weights are verified to fit each other before anything is built.

    Args:
        read: reads a file of the bundle, its hash verified.

    Raises:
        BadInput: see `load_model`.
    """
    where = f"model {card.name}"
    refuse_card(card)
    weights = read(WEIGHTS)
    network = None
    try:
        if "python" not in card.encoders:  # the user named this code, and it may build what it likes
            tensors = read_header(weights, where)
            with at_most(len(tensors)), torch.device("meta"):
                skeleton = Network.build(card.network, read)
            refuse_tensors(tensors, skeleton, where)
        values = load(weights)
        del weights  # two copies of large ones are enough
        network = Network.build(card.network, read)
        network.load_state_dict(values)
    except SkipfillError:
        raise
    except Exception as error:  # libraries raise what they like for a card that asks for what cannot be
        raise BadInput(
            where,
            expected="a network that its weights fit",
            found=f"{_short(error)}; {_since(card, network)}",
            hint="Bring back the code and the libraries that it was made with, or train it again.",
        ) from error
    network.eval()
    return LoadedModel(card, network)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def _since(card: Card, network: Network | None) -> str:
    then = card.recipe.get("versions")
    if network is None or not isinstance(then, dict):
        return "the bundle is damaged, or was not made by skipfill"
    return told(changes(then, versions(network)))


def _refuse_broken(name: str, vectors: Matrix, ids: pa.Array) -> None:
    """Raise `SkipfillError` for an embedding that is not finite: NaN may rank anywhere."""
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        first = ids[int(np.flatnonzero(bad)[0])].as_py()
        raise SkipfillError(
            f"model {name}: expected finite embeddings, found NaN or inf for item {first!r}", Advice("train_slower")
        )
