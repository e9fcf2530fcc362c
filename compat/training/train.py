"""Trains a model on items, from scratch or against a stored gallery, and saves its bundle.

The steps, in order: open the sources (`sources.py`), set up encoder, method and data (`setup.py`), fit and refit
(`loop/`), remember the gallery, write the card (`card.py`), save the bundle. Closed-form methods have steps of their
own: `adapters/fit.py`.
"""

from __future__ import annotations

from dataclasses import replace

from skipfill.compat.encoders.choice import chosen_encoder
from skipfill.compat.inference.network import Network
from skipfill.compat.methods.registry import ADAPTERS
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.fit import fit_adapter
from skipfill.compat.training.card import TrainedModel, model_card
from skipfill.compat.training.data.unlabelled import remembered, some_trained
from skipfill.compat.training.loop.distributed import connected
from skipfill.compat.training.loop.fit import fit
from skipfill.compat.training.loop.refit import refit
from skipfill.compat.training.loop.schedule import Watcher
from skipfill.compat.training.loop.task import Task
from skipfill.compat.training.overrides import checked_settings, refuse_unused
from skipfill.compat.training.recipe import Recipe, Sources
from skipfill.compat.training.save import save_trained
from skipfill.compat.training.setup import Run, TrainingSetup, set_up
from skipfill.compat.training.sources import open_sources
from skipfill.compat.training.trained_on import TrainedOn
from skipfill.store.models.cards import LOG, Card, refuse_taken
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.unfinished import scratch_folder


def train_model(
    objects: ObjectStore,
    name: str,
    recipe: Recipe,
    sources: Sources,
    progress: Progress = Progress(),
    watcher: Watcher = Watcher(),
    *,
    restart: bool = False,
) -> Card:
    """Train model `name` and save it. A run that was killed resumes after its last epoch.

    Args:
        progress: called at the start of each stage, and as items or rows are done.
        watcher: called after each step, and when an epoch is saved.
        restart: delete a killed run of this name instead of resuming it.

    Returns:
        The card of the complete model.

    Raises:
        BadInput: the name is taken, or the sources do not fit the method: see `open_sources`.
        SkipfillError: training failed: see `fit`.
    """
    refuse_taken(objects, name)
    recipe = replace(recipe, settings=checked_settings(recipe.settings), presets=checked_settings(recipe.presets))
    if recipe.method in ADAPTERS:
        return fit_adapter(objects, name, recipe, sources, progress)
    opened = open_sources(objects, recipe, sources)
    choice = chosen_encoder(recipe.encoder, opened.items)
    refuse_unused(recipe.settings, [recipe.method, choice.name])
    recipe = recipe.resolved(opened.items.kind, choice, len(opened.items))
    with connected(recipe.device) as processes, scratch_folder() as scratch:
        run = Run(objects, name, scratch, processes, progress, watcher)
        setup = set_up(run, recipe, choice, opened, restart=restart)
        trained = _train(run, setup)
        card = model_card(name, setup, trained)
        # Each process has the same model. The first one saves it.
        return _save(run, setup, trained, card) if processes.first else card


def _train(run: Run, setup: TrainingSetup) -> TrainedModel:
    """Fit encoder and method, refit the method on features of the encoder, and put the gallery into its memory."""
    task, method = setup.task, setup.task.method
    done = setup.recipe.epochs - setup.epochs_left + setup.refit_checkpoints.epochs_done()
    if done:
        run.watcher.resumed(done, setup.recipe.epochs + method.refit)
    run.progress.start(f"training {run.name} ({setup.recipe.method})", setup.epochs_left * len(task.data.trained))
    log = fit(task, run.watcher)
    if method.refit:
        task = _refit_task(run, setup)
        log = [*log, *refit(task, log, run.progress, run.watcher)]
    if method.most_remembered:
        _remember_gallery(task, run.progress)
    return TrainedModel(Network.trained(setup.encoder, setup.recipe.method, method), log)


def _refit_task(run: Run, setup: TrainingSetup) -> Task:
    """The task of the refit: on features, with only those unlabelled items that will be remembered."""
    data, most = setup.task.data, setup.task.method.most_remembered
    data = replace(data, unlabelled=None if data.unlabelled is None else data.unlabelled.first(most))
    task = replace(setup.task, data=data, checkpoints=setup.refit_checkpoints)
    return task if setup.encoder.frozen else task.on_features(run.scratch, run.progress)


def _remember_gallery(task: Task, progress: Progress) -> None:
    """Encode training items and unlabelled items of the gallery, and put them into the method's head."""
    most = task.method.most_remembered
    unlabelled = (
        None if task.data.unlabelled is None else remembered(task.data.unlabelled, task.encoder, most, progress)
    )
    features = some_trained(task.data, task.encoder, most, progress)
    progress.start("remembering the gallery", 1)
    task.method.remember(features, unlabelled)
    progress.advance(1)


def _save(run: Run, setup: TrainingSetup, trained: TrainedModel, card: Card) -> Card:
    """Save the bundle and its space, and drop the checkpoints."""
    opened = setup.opened
    log = "".join(f"{epoch.line}\n" for epoch in trained.log)
    trained_on = TrainedOn.by(run.objects, opened)
    complete = save_trained(
        run.objects, card, trained.network, opened.items, trained_on, opened.onto, {LOG: log.encode()}
    )
    setup.refit_checkpoints.clear()
    setup.task.checkpoints.clear()
    return complete
