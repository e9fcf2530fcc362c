"""Encoder and method as one module: a batch in, the loss terms out."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.method import Method, Terms
from skipfill.compat.training.loop.distributed import Processes


class Learner(nn.Module):
    """The module that the loop trains.

    Each process encodes its share of a batch, and computes the losses of the whole batch. So contrastive losses and
    masked means do not depend on the number of processes.

    Args:
        bf16: whether the encoder computes in bfloat16; the method is always in float32.
    """

    def __init__(self, encoder: Encoder, method: Method, processes: Processes, device: torch.device, bf16: bool):
        super().__init__()
        if device.type == "cuda" and processes.count > 1:
            encoder = nn.SyncBatchNorm.convert_sync_batchnorm(encoder)  # type: ignore[no-untyped-call]
        self.encoder = encoder
        self.method = method
        self.processes = processes
        self.device = device
        self.bf16 = bf16
        self.to(device)
        move_tensors(method, device)

    def forward(self, inputs: Tensor, batch: Batch) -> Terms:
        """The loss terms by name, each a scalar.

        Args:
            inputs: (B + A, *item_shape) prepared items, those of the pairs last.
            batch: the same items, without features.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.encoder(self.processes.share(inputs))
        features = self.processes.whole(features.float(), len(inputs))
        batch = replace(batch, encoded=features)
        terms = self.method.losses(batch)
        if batch.pairs is None or self.method.needs_pairs:
            return terms
        return terms | self.method.keeping(batch, batch.pairs)


def moved(value: Any, device: torch.device) -> Any:
    """A tensor, or a dataclass or tuple of tensors, on a device; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=device.type != "cpu")  # a copy from a GPU must end first
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: moved(getattr(value, field.name), device) for field in fields(value)})
    return tuple(moved(part, device) for part in value) if type(value) is tuple else value


def move_tensors(method: Method, device: torch.device) -> None:
    """Move the tensors that a method holds of the gallery.

    They are neither parameters nor buffers, because they must stay out of the weights; `nn.Module.to` leaves them.
    """
    for name, value in list(vars(method).items()):
        if is_dataclass(value) or isinstance(value, tuple | Tensor):
            setattr(method, name, moved(value, device))
