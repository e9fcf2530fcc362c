"""A frozen d-simplex classifier: any two models trained on the same simplex share one space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.method import Method, MethodContext, Terms
from skipfill.compat.settings import Range


@dataclass(frozen=True)
class SimplexSettings:
    """Attributes:
    classes: K, at least all classes ever expected; the embedding has K - 1 dimensions.
    slots: the end of the simplex that new classes are put at. Parties that train without knowing of each other's
        classes take opposite ends, so that a later model can know both.
    """

    classes: Annotated[int, Range(2)] = 1024
    slots: Literal["front", "back"] = "front"


def simplex_vertices(classes: int) -> Tensor:
    """(K, K-1) unit vectors with the same angle between any two: cos = -1 / (K-1).

    Source: Biondi et al. 2024, arXiv 2405.02581; the rows of I and one row (1 - sqrt(K)) / (K - 1), centred,
    normalised.
    """
    last = torch.full((1, classes - 1), (1 - classes**0.5) / (classes - 1), dtype=torch.float64)
    vertices = torch.cat([torch.eye(classes - 1, dtype=torch.float64), last])
    vertices -= vertices.mean(dim=0)
    return nn.functional.normalize(vertices, dim=1).float()


class SimplexMethod(Method):
    """A method whose classes are vertices of a frozen simplex, and whose embedding is the simplex's own space.

    Its settings are `SimplexSettings`, or extend them.
    """

    needs_gallery = False
    on_simplex = True

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.settings = settings
        self.dim = settings.classes - 1
        self.view_dim = self.dim
        self.head = nn.Linear(context.features, self.dim)
        self.register_buffer("vertices", simplex_vertices(settings.classes), persistent=False)
        slots = torch.tensor(list(context.slots or range(context.classes)))
        self.register_buffer("slots", slots, persistent=False)

    def classification(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """CE(z V^T, y). z is not normalised and there is no temperature, as published: its length is the confidence."""
        logits = embedding @ self.get_buffer("vertices").T
        return cross_entropy(logits, self.get_buffer("slots")[labels])


class Simplex(SimplexMethod):
    summary = "cross-entropy on a frozen simplex; old and new model must both be trained this way"
    source = "Biondi et al. 2021/2024, arXiv 2111.07632 and 2405.02581"
    settings_type = SimplexSettings

    def losses(self, batch: Batch) -> Terms:
        return {"class": self.classification(self.head(batch.features), batch.labels)}
