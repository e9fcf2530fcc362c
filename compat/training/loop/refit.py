"""A method trained on, with the encoder at rest, on items as they are and not augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.methods.method import Method
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.epoch_log import Epoch, best_epoch
from skipfill.compat.training.loop.fit import fit
from skipfill.compat.training.loop.schedule import Schedule, Step, Watcher

NOT_TRAINED = Epoch(0, 0, 0.0, {}, {}, 0.0, 0.0)


def refit(
    features: Encoder,
    method: Method,
    data: TrainingData,
    schedule: Schedule,
    log: Sequence[Epoch],
    checkpoints: Checkpoints,
    progress: Progress,
    watcher: Watcher,
    processes: Processes,
) -> list[Epoch]:
    """Train a method for `method.refit` epochs more; their log, counted on from that of the training before.

    With validation, the method is as in the best epoch of both.

    Args:
        features, data: see `as_features`.

    Source: a head trained anew on the features of a trained encoder does better, Kang et al. 2020 (arXiv 1910.09217).
    """
    before = log[-1] if log else NOT_TRAINED
    remaining = method.refit - checkpoints.epochs_done()
    progress.start("training on, the encoder at rest", remaining * len(data.trained))

    def counted(one: Epoch) -> Epoch:
        return replace(one, epoch=before.epoch + one.epoch, step=before.step + one.step)

    def step(now: Step) -> None:
        watcher.step(replace(now, epoch=before.epoch + now.epoch))

    counting = Watcher(step, lambda one: watcher.epoch(counted(one)))
    method.start_refit()
    kept = {name: value.clone() for name, value in method.state_dict().items()}
    how = replace(schedule, epochs=method.refit, pairs=0)
    more = [counted(one) for one in fit(features, method, data, how, checkpoints, counting, processes)]
    if best_epoch([*log, *more]) in log:
        method.load_state_dict(kept)
    return more
