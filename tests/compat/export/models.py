"""Models of every kind, with drawn weights, that were never in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.mlp import Settings as MlpSettings
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.encoders.vectors import Settings as VectorsSettings
from skipfill.compat.encoders.vectors import Vectors
from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.network import Blend, Network
from skipfill.compat.methods.adapters.pairs import Pairs
from skipfill.compat.methods.batch import GallerySample, OldSpace, UnlabelledFeatures
from skipfill.compat.methods.gallery.imitating_head import ImitatingHead
from skipfill.compat.methods.method import Method, MethodContext
from skipfill.compat.methods.registry import ADAPTERS, TRAINED
from skipfill.compat.methods.simplex import SimplexMethod
from skipfill.compat.nn.normalize import unit
from skipfill.compat.nn.view_maps import LinearMap, ResidualMap
from skipfill.store.models.cards import Card
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.spaces import View
from tests.compat.encoders.samples import CASES, block

INPUTS, CLASSES, OLD = 16, 5, 8


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp(seed: int = 0) -> Mlp:
    torch.manual_seed(seed)
    return Mlp(MlpSettings(INPUTS, hidden=24))


def vectors() -> Vectors:
    return Vectors(VectorsSettings(INPUTS))


def sample_encoder(case: str, folder: Path) -> tuple[Encoder, ItemBlock]:
    """An encoder of `tests.compat.encoders.samples`, and items that it takes."""
    name, source, inputs = CASES[case](folder)
    torch.manual_seed(0)
    return ENCODERS[name].for_items(source, block(inputs), {}), block(inputs)


def trained_method(name: str, width: int, classes: int = CLASSES) -> Method:
    """A trained method with drawn weights, its memory filled where it has one."""
    torch.manual_seed(1)
    rows = GallerySample(
        unit(torch.randn(300, OLD, generator=drawn())),
        torch.randint(-1, 3, (300,), generator=drawn()),
        torch.arange(300) - 20,
    )
    prototypes = torch.randn(classes, OLD, generator=drawn())
    old = OldSpace(OLD, prototypes, torch.full((classes,), 5), rows)
    kind = TRAINED[name]
    small = {"classes": OLD + 1} if issubclass(kind, SimplexMethod) else {}
    return kind(MethodContext(width, classes, 0, old, 10), kind.settings_type(**small))


def fill_memory(method: Method, encoder: Encoder) -> None:
    """Remember 400 drawn items, half of them strange, as a training does at its end."""
    if not isinstance(method.head, ImitatingHead):
        return
    with torch.no_grad():
        features = encoder.eval()(torch.randn(400, INPUTS, generator=drawn(2)))
        labels = torch.where(torch.arange(400) % 2 == 0, torch.arange(400) // 2 % 3, -1)
        items = UnlabelledFeatures(unit(torch.randn(400, OLD, generator=drawn(3))), labels, features)
        method.remember(features[:200], items)


def model_of(network: Network, views: dict[str, View], name: str = "v2") -> LoadedModel:
    dim = views[name].dim
    card = Card(name, network.method, network.describe(), dim, views, [], [], 0, {"space": "old"}, {}, {}, "")
    return LoadedModel(card, network.eval())


def trained_model(name: str, encoder: Encoder | None = None) -> LoadedModel:
    """A model of a trained method, with its prefix view onto the space `old`."""
    encoder = encoder or mlp()
    method = trained_method(name, encoder.width)
    if encoder.takes == "vector":
        fill_memory(method, encoder)
    network = Network.trained(encoder, name, method)
    old = {"old": View(method.view_dim)} if method.view_dim else {}
    return model_of(network, {"v2": View(method.dim), **old})


def adapter_model(name: str, encoder: Encoder | None = None) -> LoadedModel:
    """A model of a closed-form method, with its map onto the space `old`."""
    encoder = encoder or vectors()
    hidden = torch.randn(400, OLD, generator=drawn())
    new, old = (
        unit(hidden @ torch.randn(OLD, dim, generator=drawn(seed)) + 0.3)
        for seed, dim in ((1, encoder.width), (2, OLD))
    )
    pairs = Pairs.of(new, old, torch.randint(-1, 5, (400,), generator=drawn()))
    kind = ADAPTERS["ridge" if name == "auto" else name]
    settings: Any = kind.settings_type(**({"hidden": 12, "epochs": 1} if name == "residual" else {}))
    view_map = kind.fit(pairs, kind.choices(settings, encoder.width, OLD)[-1], 0)
    if isinstance(view_map, ResidualMap):
        nn.init.normal_(view_map.outer.weight, std=0.3, generator=drawn())
    return mapped(encoder, name, view_map)


def mapped(encoder: Encoder, name: str, view_map: LinearMap) -> LoadedModel:
    network = Network(encoder, name, nn.Identity(), None, None)
    network.described_head = {"features": encoder.width}
    network.add_map("old", view_map)
    return model_of(network, {"v2": View(encoder.width), "old": View(OLD, view_map.describe()["kind"])})


def old_network(encoder: Encoder | None = None) -> Network:
    """The old encoder of a blend, of the dimension of its space."""
    encoder = encoder or mlp(seed=5)
    torch.manual_seed(4)
    network = Network(encoder, "independent", nn.Linear(encoder.width, OLD), None, None)
    network.described_head = {"features": encoder.width, "dim": OLD}
    return network


def blended_model(new: LoadedModel, old: Network | None, weight: float | None) -> LoadedModel:
    network = Network.blended(new.network, old, Blend("old", OLD, weight))
    return model_of(network, {**new.card.views, "old": View(OLD, "blend")})


def random_vectors(count: int, seed: int = 11) -> ItemBlock:
    return block(np.random.default_rng(seed).normal(size=(count, INPUTS)).astype(np.float32))
