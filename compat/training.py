"""One training loop for every method and every encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skipfill.compat.checkpoint import Checkpoints
from skipfill.compat.encoder import Encoder
from skipfill.compat.method import AlignBatch, Batch, Method, StoredSample
from skipfill.compat.prepared import Prepared
from skipfill.store.errors import SkipfillError


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes over the items.
        batch: items per step.
        lr: peak learning rate of AdamW; rises over the first tenth, then falls as a cosine to zero.
        weight_decay: of AdamW.
        sample: stored rows drawn per step, for methods that use them.
        align: unlabelled items drawn per step, when there are any.
        seed: decides weights, order and augmentation.
        precision: `bf16` or `f32` for the encoder; the head and the losses are always f32.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    sample: int
    align: int
    seed: int
    precision: str


@dataclass(frozen=True)
class TrainingData:
    """Everything that batches are drawn from.

    Attributes:
        items: (N) prepared items.
        labels: (N,) int64.
        old: (N, d) stored vectors, L2-normalised; None without a gallery.
        has_old: (N,) bool.
        pool: stored rows to draw samples from.
        teacher: (N, D') embeddings of the teacher.
        align: unlabelled items with their stored vectors (A, d) and their place in the pool (A,) or -1.
    """

    items: Prepared
    labels: Tensor
    old: Tensor | None = None
    has_old: Tensor | None = None
    pool: StoredSample | None = None
    teacher: Tensor | None = None
    align: tuple[Prepared, Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Step:
    """What a progress bar shows after a step: epoch (from 1), items done in this step, losses so far this epoch."""

    epoch: int
    items: int
    losses: dict[str, float]


def fit(
    encoder: Encoder,
    method: Method,
    data: TrainingData,
    schedule: Schedule,
    checkpoints: Checkpoints,
    progress: Callable[[Step], None],
) -> dict[str, float]:
    """Train encoder and method in place; the mean loss terms of the last epoch.

    Each epoch draws from its own seed and ends in a checkpoint: a run that is killed goes on from the last
    one and ends with the weights that an uninterrupted run has.

    Raises:
        SkipfillError: a loss or a weight is not finite.
    """
    model = nn.ModuleDict({"encoder": encoder, "method": method})
    rates = {"encoder": schedule.lr * encoder.lr_share, "method": schedule.lr}
    groups = [{"params": list(model[part].parameters()), "lr": rate} for part, rate in rates.items()]
    optimizer = torch.optim.AdamW(groups, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
    steps = math.ceil(len(data.items) / schedule.batch)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps * schedule.epochs))
    first, losses = checkpoints.resume(model, optimizer, decay)
    model.train()
    for epoch in range(first, schedule.epochs):
        torch.manual_seed(schedule.seed * 100_003 + epoch)
        totals: dict[str, float] = {}
        order = torch.randperm(len(data.items))
        for step, rows in enumerate(torch.split(order, schedule.batch)):
            if len(rows) == 1 and len(order) > 1:
                rows = order[-2:]  # batch norm has no variance over a single item
            terms = method.losses(_draw(encoder, method, data, schedule, rows))
            loss = torch.stack(list(terms.values())).sum()
            if not bool(torch.isfinite(loss)):
                raise SkipfillError(
                    f"training: expected finite losses, found { ({k: v.item() for k, v in terms.items()}) } "
                    f"in epoch {epoch + 1}, step {step + 1}",
                    f"Try a lower learning rate: --lr {schedule.lr / 3:.2g}",
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            decay.step()
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.item()
            losses = {name: total / (step + 1) for name, total in totals.items()}
            progress(Step(epoch + 1, len(rows), losses))
        _refuse_broken(model, epoch + 1)
        checkpoints.save(epoch + 1, losses, model, optimizer, decay)
    model.eval()
    return losses


def _refuse_broken(model: nn.Module, epoch: int) -> None:
    """The last step of an epoch shows in no loss."""
    for name, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise SkipfillError(
                f"training: expected finite weights, found others in {name} after epoch {epoch}",
                "Try a lower learning rate with --lr.",
            )


def _rate(step: int, total: int) -> float:
    warm = max(1, total // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _draw(encoder: Encoder, method: Method, data: TrainingData, schedule: Schedule, rows: Tensor) -> Batch:
    inputs = data.items.batch(rows)
    chosen = None
    if data.align is not None:
        chosen = torch.randint(len(data.align[0]), (schedule.align,))
        # One pass over both, so that batch norm sees one distribution.
        inputs = torch.cat([inputs, data.align[0].batch(chosen)])
    with torch.autocast("cpu", torch.bfloat16, enabled=schedule.precision == "bf16"):
        features = encoder(encoder.augment(inputs))
    features = features.float()
    sample, drawn = _sample(data.pool, schedule.sample) if method.needs_sample else (None, None)
    align = None
    if chosen is not None and data.align is not None:
        _, stored, places = data.align
        align = AlignBatch(features[len(rows) :], stored[chosen], _position(places[chosen], drawn))
    return Batch(
        features=features[: len(rows)],
        labels=data.labels[rows],
        items=rows,
        old=None if data.old is None else data.old[rows],
        has_old=None if data.has_old is None else data.has_old[rows],
        sample=sample,
        teacher=None if data.teacher is None else data.teacher[rows],
        align=align,
    )


def _sample(pool: StoredSample | None, size: int) -> tuple[StoredSample, Tensor]:
    assert pool is not None
    drawn = torch.randperm(len(pool.vectors))[:size]
    return StoredSample(pool.vectors[drawn], pool.labels[drawn], pool.items[drawn]), drawn


def _position(places: Tensor, drawn: Tensor | None) -> Tensor:
    """Where in the drawn sample each pool place ended up, or -1."""
    assert drawn is not None
    found = places[:, None] == drawn[None, :]
    return torch.where(found.any(dim=1), found.float().argmax(dim=1), -1)
