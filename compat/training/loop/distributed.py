"""The processes of one training under torchrun, and how they share each batch."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from skipfill.store.errors import SkipfillError

LOST_PEER = ("closed by peer", "reset by peer", "connection refused", "broken pipe", "timed out", "nccl")


@dataclass(frozen=True)
class Processes:
    """This process among all those of a training.

    Attributes:
        rank: rank of this process. Only the first process, 0, writes files and shows progress.
        count: number of all processes.
        local: rank among the processes of the same machine; the number of the GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def device(self, kind: str) -> torch.device:
        """The device of this process; `kind` is `cpu` or `cuda`."""
        return torch.device("cuda", self.local) if kind == "cuda" else torch.device(kind)

    def share(self, batch: Tensor) -> Tensor:
        """The rows of a batch that this process encodes. Shares differ by one row at most.

        Rows are dealt to the processes in turn, so that every share has items and pairs, augmented ones and others. On
        a CPU, batch norm sees the share alone.
        """
        return batch[self.rank :: self.count]

    def whole(self, features: Tensor, total: int) -> Tensor:
        """(total, F) features of the whole batch in order, gathered from the shares of all processes.

        Gradients flow into this process's share only, multiplied by `count`. Every process computes the same loss, and
        torch averages their gradients. The result is the gradient of that loss, for encoder and method alike.
        """
        if self.count == 1:
            return features
        most = -(-total // self.count)
        padded = torch.cat([features, features.new_zeros(most - len(features), *features.shape[1:])])
        shares = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(shares, padded.detach())
        if features.requires_grad:
            features.register_hook(lambda gradient: gradient * self.count)  # type: ignore[no-untyped-call]
        shares[self.rank] = padded
        return torch.stack(shares, dim=1).flatten(0, 1)[:total]

    def agreed(self, values: dict[str, float]) -> dict[str, float]:
        """The first process's numbers, so that all processes decide alike. All of them pass the same names."""
        if self.count == 1:
            return values
        numbers = torch.tensor(list(values.values()), dtype=torch.float64)
        numbers = numbers.cuda() if dist.get_backend() == "nccl" else numbers
        dist.broadcast(numbers, 0)
        return dict(zip(values, numbers.tolist(), strict=True))

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            dist.barrier()


def launched() -> Processes:
    """This process as torchrun started it; the only one without torchrun."""
    if not dist.is_torchelastic_launched():
        return Processes()
    return Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


@contextmanager
def connected(kind: str) -> Iterator[Processes]:
    """Connect the processes that torchrun started, for a training on devices of a kind, `cpu` or `cuda`.

    Raises:
        SkipfillError: another process has ended. That process shows the error.
    """
    processes = launched()
    if processes.count == 1:
        yield processes
        return
    if kind == "cuda":
        torch.cuda.set_device(processes.local)
    if not dist.is_initialized():
        # Once for all trainings of this process: a second group would clash with the addresses of the first.
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    try:
        yield processes
    except (RuntimeError, dist.DistError) as error:
        if not any(words in str(error).lower() for words in LOST_PEER):
            raise
        raise SkipfillError(
            f"training, process {processes.rank + 1} of {processes.count}: expected all processes to continue, "
            "found that another has ended",
            "Look for the error of the other process. The same command resumes after the last finished epoch.",
        ) from error
