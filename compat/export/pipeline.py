"""A model as one network: from the tensors of queries to the vectors that a gallery is searched with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.export.inputs import INPUTS, PipelineInput
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.nn.normalize import unit
from skipfill.store.errors import Advice, BadInput
from skipfill.store.models.cards import Card, view_onto
from skipfill.store.parquet.items import ItemBlock

OLD, OLD_VECTOR, OUTPUT = "old_", "old_vector", "query_vector"


class QueryPipeline(nn.Module):
    """(N, ...) tensors of N queries -> (N, d) L2-normalised vectors in `space`, as `viewed` gives them.

    Attributes:
        model: the model, of which this is made.
        dim: d.
        own, old: inputs of the encoders of the model, and of the old one that a view blends in.
        brought: whether queries bring the vectors that a view blends in.
    """

    own: nn.ModuleList
    old: nn.ModuleList

    def __init__(self, model: LoadedModel, space: str) -> None:
        super().__init__()
        self.model, self.space = model, space
        self.network = model.network
        self.dim = view_onto(model.card, space).dim
        blend = self.network.blend
        self.blend = blend if blend is not None and blend.space == space else None
        self.brought = self.blend is not None and self.network.old is None
        blended = [] if self.blend is None or self.network.old is None else self.network.old.encoders
        inputs: list[PipelineInput] = []
        for number, encoder in enumerate([*self.network.encoders, *blended]):
            made: PipelineInput = INPUTS[type(encoder)](encoder, OLD * number)
            same = next((one for one in inputs if one.described() == made.described()), None)
            inputs.append(made if same is None else INPUTS[type(encoder)](encoder, same.which))
        count = len(self.network.encoders)
        self.own, self.old = nn.ModuleList(inputs[:count]), nn.ModuleList(inputs[count:])

    @property
    def inputs(self) -> list[PipelineInput]:
        """Each input once: encoders that take the same tensors share them."""
        every = [one for one in (*self.own, *self.old) if isinstance(one, PipelineInput)]
        return list({one.which: one for one in reversed(every)}.values())[::-1]

    @property
    def tensors(self) -> dict[str, tuple[str, list[str | int]]]:
        """Type and shape of each tensor by name, in the order of `forward`."""
        tensors = {name: kind for one in self.inputs for name, kind in one.tensors.items()}
        return tensors | ({OLD_VECTOR: ("float32", ["batch", self.dim])} if self.brought else {})

    def forward(self, *tensors: Tensor) -> Tensor:
        given = dict(zip(self.tensors, tensors, strict=True))
        embedding = self.network.embedded([_features(one, given) for one in self.own])
        view_map = self.network.maps_by_space.get(self.space)
        vectors = unit(embedding[:, : self.dim] if view_map is None else view_map.mapped(embedding))
        if self.blend is None:
            return vectors
        if self.network.old is None:
            old = given[OLD_VECTOR]
        else:
            old = self.network.old.embedded([_features(one, given) for one in self.old])
        certainty = self.network.certainty(embedding) if self.blend.weight is None else None
        return self.blend.mixed(vectors, old, certainty)

    def arrays(self, block: ItemBlock, folder: Path) -> dict[str, NDArray[Any]]:
        """The tensors of a block of items by name, made with the files of an export in `folder`."""
        arrays = {
            name: array
            for one in self.inputs
            for name, array in zip(one.tensors, one.arrays(block, folder), strict=True)
        }
        if self.brought:
            assert block.old_vectors is not None
            arrays[OLD_VECTOR] = block.old_vectors
        return arrays

    def files(self) -> dict[str, bytes]:
        """Files that a caller needs to make the tensors, by name."""
        return {name: data for one in self.inputs for name, data in one.files().items()}

    def contract(self) -> dict[str, Any]:
        """The contract with a caller as JSON values: the tensors that it gives, and the vectors that it gets."""
        tensors = [{"name": name, "type": kind, "shape": shape} for name, (kind, shape) in self.tensors.items()]
        brought = {"kind": "old vector", "space": self.space, "tensors": [OLD_VECTOR]}
        items = [{**one.described(), "tensors": list(one.tensors), "files": sorted(one.files())} for one in self.inputs]
        return {
            "model": self.model.card.name,
            "fingerprint": self.model.card.fingerprint,
            "space": self.space,
            "items": [*items, *([brought] if self.brought else [])],
            "inputs": tensors,
            "output": {"name": OUTPUT, "type": "float32", "shape": ["batch", self.dim], "l2_normalised": True},
        }


def _features(one: nn.Module, given: dict[str, Tensor]) -> Tensor:
    assert isinstance(one, PipelineInput)
    features: Tensor = one(*(given[name] for name in one.tensors))
    return features


def query_pipeline(model: LoadedModel, space: str = "") -> QueryPipeline:
    """The pipeline of a model onto a space.

    Args:
        model: its layers with derived weights get these weights as they are now; it encodes as before.
        space: empty for `searched_space`.

    Raises:
        BadInput: no view onto the space, or an encoder that other programs cannot be told about.
    """
    for encoder in [one for network in _networks(model) for one in network.encoders]:
        if type(encoder) not in INPUTS:
            kind = next(name for name, one in ENCODERS.items() if type(encoder) is one)
            raise BadInput(
                f"model {model.card.name}",
                expected=f"an encoder of the kinds {', '.join(name for name in ENCODERS if ENCODERS[name] in INPUTS)}",
                found=f"the encoder {kind}, which is your own code: an export cannot hold it",
                hint=Advice("serve_in_python"),
            )
    with torch.no_grad():
        for part in model.network.modules():
            if parametrize.is_parametrized(part):
                for name in list(part.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(part, name)
    return QueryPipeline(model, space or searched_space(model.card)).eval()


def _networks(model: LoadedModel) -> list[Any]:
    return [model.network, *([] if model.network.old is None else [model.network.old])]


def searched_space(card: Card) -> str:
    """The space of the gallery that a model was trained for; its own where there is none."""
    space = str(card.gallery.get("space", ""))
    return space if space in card.views else card.name
