"""Saves the state of a training after each epoch: as safetensors (no pickle), replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import safetensors
import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from skipfill.compat.nn.serialization import tensor_bytes
from skipfill.compat.training.loop.epoch_log import Epoch
from skipfill.store.errors import Advice, BadInput, reason
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.strict_json import stored

FORMAT = 1


@dataclass(frozen=True)
class State:
    """The part of a checkpoint that is not tensors.

    Attributes:
        log: one entry for each epoch done.
        recipe: digest of everything that decides the weights.
        steps: optimizer steps done.
    """

    log: list[Epoch]
    recipe: str
    steps: int
    format: int = FORMAT


class Checkpoints:
    """The newest checkpoint of one training, if there is one.

    Args:
        key: object that holds it.
        recipe: digest of everything that decides the weights. Only a checkpoint with this digest is resumed.
        restart: delete the checkpoint of an earlier run.
    """

    def __init__(self, objects: ObjectStore, key: str, recipe: str, *, restart: bool = False) -> None:
        self._objects = objects
        self._key = key
        self._recipe = recipe
        if restart and objects.exists(key):
            objects.delete(key)

    def epochs_done(self) -> int:
        """Number of epochs in the checkpoint; 0 when there is none.

        Raises:
            BadInput: the unfinished run had another recipe or other data.
        """
        return len(self._state(self._objects.get(self._key))[0].log) if self._objects.exists(self._key) else 0

    def save(
        self,
        log: Sequence[Epoch],
        best: dict[str, Tensor],
        model: nn.Module,
        optimizer: Optimizer,
        decay: LRScheduler,
    ) -> None:
        """Replace the checkpoint by the state after the last epoch of `log`.

        Args:
            best: weights of the best epoch; empty without validation.
        """
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in best.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in state.items()}
        state = State(list(log), self._recipe, decay.last_epoch)
        self._objects.replace(self._key, tensor_bytes(tensors, {"checkpoint": json.dumps(state, default=vars)}))

    def resume(
        self, model: nn.Module, optimizer: Optimizer, decay: LRScheduler
    ) -> tuple[list[Epoch], dict[str, Tensor]]:
        """Load the checkpoint into model, optimizer and learning rate.

        Returns:
            The log, and the weights of the best epoch; both empty when there is no checkpoint.

        Raises:
            BadInput: the checkpoint cannot be read, or is of another training.
        """
        if not self._objects.exists(self._key):
            return [], {}
        saved, tensors = self._state(self._objects.get(self._key))
        try:
            model.load_state_dict(_under(tensors, "model/"))
            state = optimizer.state_dict()
            weights = dict(enumerate(weight for group in optimizer.param_groups for weight in group["params"]))
            for name, value in _under(tensors, "optimizer/").items():
                index, part = name.split("/")
                state["state"].setdefault(int(index), {})[part] = _laid_out_as(weights[int(index)], value)
            optimizer.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise self._unreadable(error) from error
        decay.load_state_dict({**decay.state_dict(), "last_epoch": saved.steps, "_step_count": saved.steps + 1})
        for group, rate in zip(optimizer.param_groups, decay.base_lrs, strict=True):
            group["lr"] = rate * decay.lr_lambdas[0](saved.steps)  # type: ignore[attr-defined]
        return saved.log, _under(tensors, "best/")

    def clear(self) -> None:
        """Delete the checkpoint: the model is complete."""
        if self._objects.exists(self._key):
            self._objects.delete(self._key)

    def _state(self, data: bytes) -> tuple[State, dict[str, Tensor]]:
        where = self._objects.root / self._key
        try:
            tensors = load(data)
            length = int.from_bytes(data[:8], "little")
            meta = json.loads(data[8 : 8 + length])["__metadata__"]["checkpoint"].encode()
        except (ValueError, KeyError, safetensors.SafetensorError) as error:
            raise self._unreadable(error) from error
        state = stored(State, meta, where, what="checkpoint", newest=FORMAT)
        if state.recipe != self._recipe:
            raise BadInput(
                f"unfinished training in {self._key}",
                expected="the same settings and items as now",
                found="other settings or items",
                hint=Advice("repeat_or_restart"),
            )
        return state, tensors

    def _unreadable(self, error: Exception) -> BadInput:
        return BadInput(
            self._objects.root / self._key,
            expected="a readable checkpoint",
            found=reason(error),
            hint=Advice("restart"),
        )


def _laid_out_as(weight: Tensor, value: Tensor) -> Tensor:
    """The value with the memory layout of the weight.

    Files hold contiguous arrays, but fused optimizers need moments laid out like the weights, e.g. channels last.
    """
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names have this prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
