"""The processes of one training under torchrun: who is first, what share of a batch is whose, where they meet."""

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
    """Attributes:
    rank: of this process; only the first, 0, writes and shows.
    count: how many there are.
    local: its place among those of its machine, which is the number of its GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def device(self, kind: str) -> torch.device:
        """This process's device of a kind, `cpu` or `cuda`."""
        return torch.device("cuda", self.local) if kind == "cuda" else torch.device(kind)

    def share(self, batch: Tensor) -> Tensor:
        """The rows of a batch that this process encodes; shares differ by one row at most.

        By turns: on a CPU batch norm sees the share alone, which is then of items and of pairs, augmented and not.
        """
        return batch[self.rank :: self.count]

    def whole(self, features: Tensor, total: int) -> Tensor:
        """(total, F) features of the whole batch, from the shares of all processes, in order.

        The gradient flows into the own share only, `count` times: every process computes the same loss, and the mean
        of the gradients over processes is then the gradient of that loss, for encoder and method alike.
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
        """The first process's numbers, so that all decide alike; the names are the same in all."""
        if self.count == 1:
            return values
        numbers = torch.tensor(list(values.values()), dtype=torch.float64)
        numbers = numbers.cuda() if dist.get_backend() == "nccl" else numbers
        dist.broadcast(numbers, 0)
        return dict(zip(values, numbers.tolist(), strict=True))

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()


def launched() -> Processes:
    """What torchrun says of this process; without it there is one."""
    if not dist.is_torchelastic_launched():
        return Processes()
    return Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


@contextmanager
def connected(kind: str) -> Iterator[Processes]:
    """This process among all that torchrun started, connected for a training on devices of a kind, `cpu` or `cuda`.

    Raises:
        SkipfillError: another process has ended; it says why.
    """
    processes = launched()
    if processes.count == 1:
        yield processes
        return
    if kind == "cuda":
        torch.cuda.set_device(processes.local)
    if not dist.is_initialized():
        # Once for all trainings of this process: a second group would meet the addresses of the first.
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    try:
        yield processes
    except (RuntimeError, dist.DistError) as error:
        if not any(words in str(error).lower() for words in LOST_PEER):
            raise
        raise SkipfillError(
            f"training, process {processes.rank + 1} of {processes.count}: expected all processes to go on, "
            "found that another has ended",
            "Look for the error of the other process. The same command goes on from the last epoch.",
        ) from error
