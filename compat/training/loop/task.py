"""One task for the training loop: a network, the data that it learns from, and a schedule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.methods.method import Method
from skipfill.compat.progress import Progress
from skipfill.compat.training.data.feature_cache import Features, as_features
from skipfill.compat.training.data.training_data import TrainingData
from skipfill.compat.training.loop.checkpoint import Checkpoints
from skipfill.compat.training.loop.distributed import Processes
from skipfill.compat.training.loop.schedule import Schedule


@dataclass(frozen=True)
class Task:
    """Everything that one call of `fit` works on.

    Attributes:
        encoder, method: trained in place.
        checkpoints: of this task alone.
        processes: all that work on the task together.
    """

    encoder: Encoder
    method: Method
    data: TrainingData
    schedule: Schedule
    checkpoints: Checkpoints
    processes: Processes = Processes()

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.processes.device(self.schedule.device)

    def on_features(self, scratch: Path, progress: Progress) -> Task:
        """The same task with the features of its items in place of the items. The encoder is not trained further.

        Args:
            scratch: folder for the features.
        """
        data = as_features(self.data, self.encoder, self.device, scratch, progress)
        return replace(self, encoder=Features(self.encoder), data=data)
