"""A nearly orthogonal map that also brings items of one class together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from skipfill.compat.methods.adapters.adapter import Adapter, NoSettings
from skipfill.compat.methods.adapters.descent import descend
from skipfill.compat.methods.adapters.pairs import Pairs, PairSample
from skipfill.compat.methods.adapters.procrustes import Procrustes
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.settings import POSITIVE, Range


@dataclass(frozen=True)
class Settings:
    """Attributes:
    threshold: lambda: the distance from orthogonality, |W W^T - I|, above which the map is pulled back.
    sharpness: a: how abruptly the pull begins there.
    stored, contrast, orthogonality: weights of the three terms.
    temperature: of the contrast.
    epochs: passes over the pairs in memory.
    lr: learning rate at the start; it falls to 0 along a cosine.
    """

    threshold: float = 12.0
    sharpness: Annotated[float, POSITIVE] = 1.0
    stored: float = 1.0
    contrast: float = 1.0
    orthogonality: float = 1.0
    temperature: Annotated[float, POSITIVE] = 0.1
    epochs: Annotated[int, Range(1, 10_000)] = 20
    lr: Annotated[float, POSITIVE] = 1e-3


class LambdaOrthogonal(Adapter):
    """W and b by gradients from the Procrustes map, with the loss

        stored |u W^T + b - v|^2 + contrast SupCon(n(u W^T + b), v; y) + orthogonality sigma(a (o - lambda)) o

    where o = |W W^T - I|_F, or |W^T W - I|_F for D < d. SupCon pulls each mapped vector towards the stored vectors of
    its class y in the batch. The published loss also trains a map of the stored vectors. It is left out here, because
    stored vectors stay as they are.

    Source: Ricci et al. 2025, arXiv 2509.16664.
    """

    summary = "a nearly orthogonal map that brings classes together; needs labels"
    source = "Ricci et al. 2025, 2509.16664"
    needs_labels = True
    needs_full_rank = True
    settings_type = Settings

    @classmethod
    def fit(cls, pairs: Pairs, settings: Settings, seed: int) -> LinearMap:
        fitted = Procrustes.fit(pairs, NoSettings(), seed)

        def loss(batch: PairSample) -> Tensor:
            return lambda_orthogonal_loss(fitted, batch, settings)

        descend([fitted.weight, fitted.bias], loss, pairs.sample, epochs=settings.epochs, lr=settings.lr, seed=seed)
        return fitted


def lambda_orthogonal_loss(fitted: LinearMap, batch: PairSample, settings: Settings) -> Tensor:
    """The loss of `LambdaOrthogonal` for a batch of pairs with labels; a label of -1 is a class of its own."""
    mapped = fitted.mapped(batch.new)
    distance = (mapped - batch.old).square().sum(dim=1).mean()
    weight = fitted.weight if fitted.weight.shape[0] <= fitted.weight.shape[1] else fitted.weight.T
    off = torch.linalg.matrix_norm(weight @ weight.T - torch.eye(len(weight)))
    gate = torch.sigmoid(settings.sharpness * (off - settings.threshold))
    assert batch.labels is not None
    contrast = supervised_contrast(fitted(batch.new), batch.old, batch.labels, settings.temperature)
    terms = (
        (settings.stored, distance),
        (settings.contrast, contrast),
        (settings.orthogonality, gate * off),
    )
    return torch.stack([share * term for share, term in terms]).sum()


def supervised_contrast(mapped: Tensor, stored: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """-mean_i mean_{j in class of i} log softmax_j(mapped_i . stored_j / temperature); i itself is in its class.

    Args:
        mapped, stored: (B, d) L2-normalised.
        labels: (B,) class, or -1 for a class of its own.

    Source: Khosla et al. 2020, "Supervised contrastive learning", with stored vectors as the other views.
    """
    same = (labels[:, None] == labels) & (labels >= 0)[:, None]
    same = same | torch.eye(len(labels), dtype=torch.bool)
    log_shares = (mapped @ stored.T / temperature).log_softmax(dim=1)
    return -((log_shares * same).sum(dim=1) / same.sum(dim=1)).mean()
