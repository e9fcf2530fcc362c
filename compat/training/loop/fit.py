"""One training loop for every method and every encoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.methods.batch import Batch
from skipfill.compat.methods.method import Method, Terms
from skipfill.compat.training.data.sampling import parts, steps_for
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.device import draw_from
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch, patience_is_over
from skipfill.compat.training.loop.guards import memory_explained, refuse_broken_weights, refuse_infinite
from skipfill.compat.training.loop.learner import Learner, move_stored, moved
from skipfill.compat.training.loop.loss_means import TermMeans
from skipfill.compat.training.loop.schedule import Schedule, Step, Watcher, learning_rate

STEPS_BETWEEN_READINGS = 10  # reading a loss waits for the GPU


def fit(
    encoder: Encoder,
    method: Method,
    data: TrainingData,
    schedule: Schedule,
    checkpoints: Checkpoints,
    watcher: Watcher = Watcher(),
    processes: Processes = Processes(),
) -> list[Epoch]:
    """Train encoder and method in place; the log of all epochs. With validation, the best one's weights are kept.

    Each epoch draws from its own seed and ends in a checkpoint: a run that is killed goes on from the last
    one and ends with the weights that an uninterrupted run has.

    Raises:
        SkipfillError: a loss or a weight is not finite, memory is too small, or another process has ended.
    """
    training = _Training(encoder, method, data, schedule, processes)
    log, best = checkpoints.resume(training.learner, training.optimizer, training.decay)
    processes.wait()
    while len(log) < schedule.epochs and not patience_is_over(log, schedule.patience):
        with memory_explained(schedule.batch, schedule.accumulate):
            log.append(training.epoch(len(log) + 1, watcher.step))
        if data.validation is not None and best_epoch(log) is log[-1]:
            best = _copied(training.learner)
        if processes.first:
            checkpoints.save(log, best, training.learner, training.optimizer, training.decay)
            watcher.epoch(log[-1])
    if best:
        training.learner.load_state_dict(best)
    training.learner.eval().cpu()
    move_stored(method, torch.device("cpu"))
    processes.wait()  # nobody resumes any more: the checkpoint may go
    return log


class _Training:
    """What an epoch works on."""

    def __init__(
        self, encoder: Encoder, method: Method, data: TrainingData, schedule: Schedule, processes: Processes
    ) -> None:
        self.data = data
        self.schedule = schedule
        self.processes = processes
        self.rows = data.trained
        self.fewest = 2 * schedule.accumulate * processes.count  # batch norm has no variance over one item
        self.steps = steps_for(len(self.rows), schedule.batch, self.fewest)
        self.sample = schedule.sample if method.needs_sample else 0
        self.pairs = schedule.pairs
        self.of_trained = method.needs_pairs
        self.augment = encoder.augment
        bf16 = schedule.precision == "bf16"
        self.learner = Learner(encoder, method, processes, processes.device(schedule.device), bf16)
        self.parallel: nn.Module = self.learner
        if processes.count > 1:
            # A user's encoder may have parameters that its features do not depend on.
            self.parallel = DistributedDataParallel(self.learner, find_unused_parameters=True)
        shares: dict[float, list[nn.Parameter]] = {encoder.lr_share: list(encoder.parameters())}
        shares.setdefault(1.0, []).extend(method.parameters())
        groups = [{"params": some, "lr": share * schedule.lr} for share, some in shares.items()]
        # A user's encoder may have buffers that hold infinities, such as masks.
        self.finite = [name for name, value in self.learner.state_dict().items() if value.isfinite().all()]
        self.optimizer = AdamW(groups, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
        self.decay = LambdaLR(self.optimizer, lambda step: learning_rate(step, self.steps * schedule.epochs))

    def epoch(self, number: int, progress: Callable[[Step], None]) -> Epoch:
        """Train for one epoch."""
        began, means = time.perf_counter(), TermMeans()
        self.learner.train()
        draw_from((self.schedule.seed * 100_003 + number - 1) % 2**63, self.learner.device)
        order = self.rows[torch.randperm(len(self.rows))]
        # Each part of a step has a seed: processes draw alike, whatever dropout has drawn for their shares.
        # The first part's, which decides what is drawn, is the same for any number of parts.
        seeds = torch.randint(2**62, (self.schedule.accumulate, self.steps)).T.tolist()
        for step, rows in enumerate(torch.tensor_split(order, self.steps)):
            lr = self.optimizer.param_groups[0]["lr"]
            self._step(rows, seeds[step], means)
            if step % STEPS_BETWEEN_READINGS == 0 or step + 1 == self.steps:
                refuse_infinite(means.read(), self.schedule.lr, f"epoch {number}, by step {step + 1}")
            progress(Step(number, len(rows), means.last))
        weights = self.learner.state_dict()
        refuse_broken_weights({name: weights[name] for name in self.finite}, self.schedule.lr, number)
        trained = time.perf_counter() - began
        validation = {} if self.data.validation is None else self._validate(self.data.validation)
        seconds = time.perf_counter() - began
        return Epoch(number, number * self.steps, lr, means.last, validation, seconds, len(order) / trained)

    def _step(self, rows: Tensor, seeds: list[int], means: TermMeans) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        draw_from(seeds[0], self.learner.device)
        batches = parts(self.data, rows, len(seeds), sample=self.sample, pairs=self.pairs, of_trained=self.of_trained)
        for number, (inputs, batch) in enumerate(batches):
            last = number + 1 == len(seeds)
            with nullcontext() if last else self._unsynchronised():
                terms = self._terms(inputs, batch, seeds[number])
                weighed = len(batch.labels) / len(rows) * torch.stack(list(terms.values()))
                weighed.sum().backward()  # type: ignore[no-untyped-call]
            means.add(tuple(terms), weighed.detach(), len(batch.labels) / len(rows))
        self.optimizer.step()
        self.decay.step()

    def _terms(self, inputs: Tensor, batch: Batch, seed: int) -> Terms:
        inputs, batch = self._on_device(inputs, batch)
        draw_from(seed, self.learner.device)
        inputs = self._augmented(inputs, len(inputs) - batch.as_they_are)
        if not self.processes.first:
            draw_from(seed + self.processes.rank, self.learner.device)  # of its own for dropout
        terms: Terms = self.parallel(inputs, batch)
        return terms

    def _on_device(self, inputs: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        if self.learner.device.type == "cpu":  # where they are made: nothing to take apart and put together again
            return inputs, batch
        return moved(inputs, self.learner.device), moved(batch, self.learner.device)

    def _augmented(self, inputs: Tensor, first: int) -> Tensor:
        """Half of the pairs stay as they are: the vector that is stored is that of the very item."""
        if len(inputs) == first:
            return self.augment(inputs)
        augmented = self.augment(inputs[:first])
        return torch.cat([augmented, inputs[first:].to(augmented.dtype)])

    def _unsynchronised(self) -> AbstractContextManager[None]:
        """Gradients of the processes are averaged with the last part of a batch."""
        return self.parallel.no_sync() if isinstance(self.parallel, DistributedDataParallel) else nullcontext()

    @torch.no_grad()
    def _validate(self, rows: Tensor) -> dict[str, float]:
        """Mean of each loss term over the items held out: not augmented, against the same stored rows every time.

        Their order is random, for losses see a batch as a whole, but the same every time too.
        """
        self.learner.eval()
        draw_from(self.schedule.seed, self.learner.device)
        means = TermMeans()
        rows = rows[torch.randperm(len(rows))]
        for some in torch.tensor_split(rows, steps_for(len(rows), self.schedule.batch, self.fewest)):
            # Few are held out; each part has one for every process.
            count = min(self.schedule.accumulate, max(1, len(some) // self.processes.count))
            for inputs, batch in parts(self.data, some, count, sample=self.sample):
                terms = self.parallel(*self._on_device(inputs, batch))
                weight = len(batch.labels)
                means.add(tuple(terms), weight * torch.stack(list(terms.values())), weight)
        return self.processes.agreed(means.read())


def _copied(learner: Learner) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in learner.state_dict().items()}
