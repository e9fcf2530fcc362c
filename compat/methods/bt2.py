"""Basis transformations: an embedding built of an old-model part and an independent new-model part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrizations import orthogonal

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.methods.losses.prototypes import prototype_cross_entropy
from skipfill.compat.methods.method import Method, MethodContext, Terms
from skipfill.compat.nn.normalize import unit
from skipfill.compat.settings import WIDEST, WIDEST_FEATURES, Range


@dataclass(frozen=True)
class Settings:
    """Settings of a `Bt2`; the defaults are those of the published code.

    Attributes:
        extra_dims: e, at most the old dimension.
        new_weight: C, of the new part of the embedding.
        classification, prototypes, alignment, teacher: weights of the terms.
    """

    extra_dims: int = 32
    new_weight: float = 2.0
    classification: float = 1.0
    prototypes: float = 10.0
    alignment: float = 5.0
    teacher: float = 1.0


@dataclass(frozen=True)
class Bt2Shape:
    """Sizes of a `Bt2Head`, and the weight C of the new part of the embedding."""

    features: Annotated[int, Range(1, WIDEST_FEATURES)]
    old: Annotated[int, Range(1, WIDEST)]
    new: Annotated[int, Range(1, WIDEST)]
    extra: Annotated[int, Range(0, WIDEST)]
    weight: float


class Bt2Head(nn.Module):
    """features -> h = [ b ; m[d:] ], b = Q m[:d], m = [ n(o[:e]) ; P (C f) ], f = n(g[:D]), o = n(Linear(ReLU(g))).

    P and Q are learned orthogonal bases. <h, h'> = cos of the old parts + C^2 cos of the new ones.
    """

    def __init__(self, features: int, old: int, new: int, extra: int, weight: float) -> None:
        super().__init__()
        self.described = {"features": features, "old": old, "new": new, "extra": extra, "weight": weight}
        self.backbone = nn.Linear(features, new + old)
        self.imitate_old = nn.Linear(new + old, old)
        self.mix_new = _orthogonal(new)
        self.mix_old = _orthogonal(old)
        self.old, self.new, self.extra, self.weight = old, new, extra, weight

    def new_part(self, wide: Tensor) -> Tensor:
        """f: (N, D), L2-normalised."""
        return unit(wide[:, : self.new])

    def compose(self, wide: Tensor) -> Tensor:
        """h: (N, e + D)."""
        imitation = unit(self.imitate_old(wide.relu()))
        mixed = torch.cat([unit(imitation[:, : self.extra]), self.mix_new(self.weight * self.new_part(wide))], dim=1)
        return torch.cat([self.mix_old(mixed[:, : self.old]), mixed[:, self.old :]], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.compose(self.backbone(features))


def _orthogonal(size: int) -> nn.Module:
    """A linear layer whose weight is a learned orthogonal basis."""
    layer = nn.Linear(size, size, bias=False)
    if not layer.weight.is_meta:
        return orthogonal(layer, orthogonal_map="cayley")
    # Torch makes a basis from the values of the weight. A meta tensor has none: build the shapes that torch would keep.
    kept = nn.Module()
    kept.original = nn.Parameter(layer.weight)
    kept.add_module("0", nn.Module())
    kept.get_submodule("0").register_buffer("base", torch.empty_like(layer.weight))
    skeleton = nn.Module()
    skeleton.parametrizations = nn.ModuleDict({"weight": kept})
    return skeleton


class Bt2(Method):
    """An embedding that imitates the old model and an independent new one, mixed by learned orthogonal bases.

    Two things differ from the published code. The teacher embeds the items without augmentation; the code keeps its
    embeddings of one augmentation. Prototypes are means of all stored rows of a class.
    """

    summary = "imitates an independent new model and the old model, on a basis that is learned"
    source = "Zhou et al. 2023, arXiv 2211.03989"
    needs_teacher = True
    settings_type = Settings

    def __init__(self, context: MethodContext, settings: Settings) -> None:
        super().__init__(context, settings)
        assert context.old is not None
        new = context.teacher
        self.view_dim = context.old.dim
        extra = min(settings.extra_dims, context.old.dim)
        self.dim = new + extra
        self.head = Bt2Head(context.features, context.old.dim, new, extra, settings.new_weight)
        self.classifier = nn.Linear(new, context.classes)
        self.old = context.old
        self.settings = settings

    @classmethod
    def head_shape(cls, described: Mapping[str, Any]) -> type[Any]:
        return Bt2Shape

    @classmethod
    def dim_of_head(cls, described: Mapping[str, Any]) -> int:
        return int(described["new"] + described["extra"])

    @classmethod
    def build_head(cls, described: dict[str, Any]) -> nn.Module:
        return Bt2Head(**described)

    def describe_head(self) -> dict[str, Any]:
        assert isinstance(self.head, Bt2Head)
        return dict(self.head.described)

    def losses(self, batch: Batch) -> Terms:
        assert isinstance(self.head, Bt2Head)
        assert batch.old is not None
        assert batch.teacher is not None
        weights = self.settings
        wide = self.head.backbone(batch.features)
        new = self.head.new_part(wide)
        compat = self.head.compose(wide)[:, : self.view_dim]
        old = prototype_cross_entropy(unit(compat), self.old.present_prototypes, self.old.places[batch.labels])
        own = cross_entropy(self.classifier(new), batch.labels)
        return {
            "class": weights.classification * own,
            "prototypes": weights.prototypes * old,
            "alignment": weights.alignment * cosine_alignment(compat, batch.old, batch.has_old),
            "teacher": weights.teacher * cosine_alignment(new, batch.teacher),
        }
