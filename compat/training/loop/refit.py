"""Trains a method further on the features of a frozen encoder, without augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skipfill.compat.progress import Progress
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch
from skipfill.compat.training.loop.fit import fit
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.loop.task import Task


def refit(task: Task, log: Sequence[Epoch], progress: Progress, watcher: Watcher) -> list[Epoch]:
    """Train the method of a task for `method.refit` more epochs.

    With validation, the method ends as it was in the best epoch of both trainings.

    Args:
        task: on features, see `Task.on_features`. Its schedule is that of the earlier training; the refit changes the
            number of epochs and draws no pairs.
        log: log of the earlier training, one epoch or more.

    Returns:
        The log of the further epochs. Their numbers continue those of `log`.

    Source: a head trained anew on the features of a trained encoder does better, Kang et al. 2020 (arXiv 1910.09217).
    """
    method, before = task.method, log[-1]
    epochs_left = method.refit - task.checkpoints.epochs_done()
    progress.start("training further, with the encoder frozen", epochs_left * len(task.data.trained))

    def counted_on(epoch: Epoch) -> Epoch:
        return replace(epoch, epoch=before.epoch + epoch.epoch, step=before.step + epoch.step)

    counting = Watcher(
        step=lambda step: watcher.step(replace(step, epoch=before.epoch + step.epoch)),
        epoch=lambda epoch: watcher.epoch(counted_on(epoch)),
    )
    method.start_refit()
    weights_before = {name: value.clone() for name, value in method.state_dict().items()}
    schedule = replace(task.schedule, epochs=method.refit, pairs=0)
    further = [counted_on(epoch) for epoch in fit(replace(task, schedule=schedule), counting)]
    if best_epoch([*log, *further]) in log:
        method.load_state_dict(weights_before)
    return further
