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
from skipfill.compat.training.loop.device import draw_from
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch, patience_is_over
from skipfill.compat.training.loop.guards import memory_explained, refuse_broken_weights, refuse_infinite
from skipfill.compat.training.loop.learner import Learner, move_tensors, moved
from skipfill.compat.training.loop.loss_means import TermMeans
from skipfill.compat.training.loop.schedule import Schedule, Step, Watcher, learning_rate
from skipfill.compat.training.loop.task import Task
from skipfill.compat.training.loop.threads import Threads, threads_for

STEPS_BETWEEN_READINGS = 10  # reading a loss waits for the GPU


def fit(task: Task, watcher: Watcher = Watcher()) -> list[Epoch]:
    """Train encoder and method of a task in place. With validation, they end with the weights of the best epoch.

    Each epoch draws from its own seed and ends in a checkpoint. A run that is killed resumes from the last checkpoint
    and ends with the weights of an uninterrupted run.

    Returns:
        The log of all epochs, those before a resumption included.

    Raises:
        SkipfillError: a loss or a weight is not finite, memory is too small, or another process has ended.
    """
    schedule, checkpoints, processes = task.schedule, task.checkpoints, task.processes
    loop = _Loop(task)
    log, best = checkpoints.resume(loop.learner, loop.optimizer, loop.decay)
    processes.wait()
    before, alone = log[-1].threads if log else 0, processes.count == 1 and task.device.type == "cpu"
    with threads_for(schedule.threads, before, alone_on_cpu=alone) as threads:
        while len(log) < schedule.epochs and not patience_is_over(log, schedule.patience):
            with memory_explained(schedule.batch, schedule.accumulate):
                log.append(loop.epoch(len(log) + 1, threads, watcher.step))
            if task.data.validation is not None and best_epoch(log) is log[-1]:
                best = _copied(loop.learner)
            if processes.first:
                checkpoints.save(log, best, loop.learner, loop.optimizer, loop.decay)
                watcher.epoch(log[-1])
    if best:
        loop.learner.load_state_dict(best)
    loop.learner.eval().cpu()
    move_tensors(task.method, torch.device("cpu"))
    processes.wait()  # the checkpoint may be deleted only after all processes have resumed and finished
    return log


class _Loop:
    """The state of a running training: learner, optimizer and learning rate."""

    def __init__(self, task: Task) -> None:
        encoder, method, schedule = task.encoder, task.method, task.schedule
        self.data = task.data
        self.schedule = schedule
        self.processes = task.processes
        self.rows = task.data.trained
        self.fewest = 2 * schedule.accumulate * task.processes.count  # batch norm has no variance over one item
        self.steps = steps_for(len(self.rows), schedule.batch, self.fewest)
        self.sample = schedule.sample if method.needs_sample else 0
        self.pairs = schedule.pairs
        self.of_trained = method.needs_pairs
        self.augment = encoder.augment
        self.learner = Learner(encoder, method, task.processes, task.device, bf16=schedule.precision == "bf16")
        self.parallel: nn.Module = self.learner
        if task.processes.count > 1:
            # A user's encoder may have parameters that its features do not depend on.
            self.parallel = DistributedDataParallel(self.learner, find_unused_parameters=True)
        # A user's encoder may have buffers that hold infinities, such as masks.
        self.finite = [name for name, value in self.learner.state_dict().items() if value.isfinite().all()]
        self.optimizer = _optimizer(encoder, method, schedule)
        self.decay = LambdaLR(self.optimizer, lambda step: learning_rate(step, self.steps * schedule.epochs))

    def epoch(self, number: int, threads: Threads, progress: Callable[[Step], None]) -> Epoch:
        """Train for epoch `number`, counted from 1, and validate.

        Raises:
            SkipfillError: a loss or a weight is not finite.
        """
        began, means = time.perf_counter(), TermMeans()
        self.learner.train()
        draw_from((self.schedule.seed * 100_003 + number - 1) % 2**63, self.learner.device)
        order = self.rows[torch.randperm(len(self.rows))]
        # Each part of a step has a seed, so that processes draw alike whatever dropout drew for their shares.
        # The first seed decides the rows drawn, and is the same for any number of parts.
        seeds = torch.randint(2**62, (self.schedule.accumulate, self.steps)).T.tolist()
        for step, rows in enumerate(torch.tensor_split(order, self.steps)):
            lr = self.optimizer.param_groups[0]["lr"]
            with threads.for_step():
                self._step(rows, seeds[step], means)
            if step % STEPS_BETWEEN_READINGS == 0 or step + 1 == self.steps:
                refuse_infinite(means.read(), self.schedule.lr, f"epoch {number}, by step {step + 1}")
            progress(Step(number, len(rows), means.last))
        weights = self.learner.state_dict()
        refuse_broken_weights({name: weights[name] for name in self.finite}, self.schedule.lr, number)
        trained = time.perf_counter() - began
        validation = {} if self.data.validation is None else self._validate(self.data.validation)
        seconds, rate = time.perf_counter() - began, len(order) / trained
        return Epoch(number, number * self.steps, lr, means.last, validation, seconds, rate, threads.chosen)

    def _step(self, rows: Tensor, seeds: list[int], means: TermMeans) -> None:
        """One step of the optimizer on a batch of these rows, in as many parts as there are seeds."""
        self.optimizer.zero_grad(set_to_none=True)
        draw_from(seeds[0], self.learner.device)
        batches = parts(self.data, rows, len(seeds), sample=self.sample, pairs=self.pairs, of_trained=self.of_trained)
        for number, (inputs, batch) in enumerate(batches):
            last = number + 1 == len(seeds)
            with nullcontext() if last else self._unsynchronised():
                terms = self._terms(inputs, batch, seeds[number])
                share = len(batch.labels) / len(rows)
                weighted = share * torch.stack(list(terms.values()))
                weighted.sum().backward()  # type: ignore[no-untyped-call]
            means.add(tuple(terms), weighted.detach(), share)
        self.optimizer.step()
        self.decay.step()

    def _terms(self, inputs: Tensor, batch: Batch, seed: int) -> Terms:
        """The loss terms of a part of a batch, its items augmented."""
        inputs, batch = self._on_device(inputs, batch)
        draw_from(seed, self.learner.device)
        inputs = self._augmented(inputs, len(inputs) - batch.as_they_are)
        if not self.processes.first:
            draw_from(seed + self.processes.rank, self.learner.device)  # each process has its own dropout
        terms: Terms = self.parallel(inputs, batch)
        return terms

    def _on_device(self, inputs: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        if self.learner.device.type == "cpu":  # the tensors are there already
            return inputs, batch
        return moved(inputs, self.learner.device), moved(batch, self.learner.device)

    def _augmented(self, inputs: Tensor, count: int) -> Tensor:
        """The items, the first `count` of them augmented.

        Half of the pairs are not augmented: their stored vectors were made from the items as they are.
        """
        if len(inputs) == count:
            return self.augment(inputs)
        augmented = self.augment(inputs[:count])
        return torch.cat([augmented, inputs[count:].to(augmented.dtype)])

    def _unsynchronised(self) -> AbstractContextManager[None]:
        """A context in which processes do not average gradients. They do so once for each batch, at its last part."""
        return self.parallel.no_sync() if isinstance(self.parallel, DistributedDataParallel) else nullcontext()

    @torch.no_grad()
    def _validate(self, rows: Tensor) -> dict[str, float]:
        """Mean of each loss term over the items held out.

        The items are not augmented. Every epoch uses the same stored rows and the same order of items. The order is
        random, because a loss depends on which items share a batch.
        """
        self.learner.eval()
        draw_from(self.schedule.seed, self.learner.device)
        means = TermMeans()
        rows = rows[torch.randperm(len(rows))]
        for batch_rows in torch.tensor_split(rows, steps_for(len(rows), self.schedule.batch, self.fewest)):
            # Few items may be held out: fewer parts then, so that each has an item for every process.
            count = min(self.schedule.accumulate, max(1, len(batch_rows) // self.processes.count))
            for inputs, batch in parts(self.data, batch_rows, count, sample=self.sample):
                terms = self.parallel(*self._on_device(inputs, batch))
                weight = len(batch.labels)
                means.add(tuple(terms), weight * torch.stack(list(terms.values())), weight)
        return self.processes.agreed(means.read())


def _optimizer(encoder: Encoder, method: Method, schedule: Schedule) -> AdamW:
    """AdamW, with a separate learning rate for an encoder that asks for one."""
    by_share: dict[float, list[nn.Parameter]] = {encoder.lr_share: list(encoder.parameters())}
    by_share.setdefault(1.0, []).extend(method.parameters())
    groups = [{"params": parameters, "lr": share * schedule.lr} for share, parameters in by_share.items()]
    return AdamW(groups, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)


def _copied(learner: Learner) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in learner.state_dict().items()}
