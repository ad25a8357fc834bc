"""One run while it is being made: what is written before, during and after its training."""

import math
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mlplab import files, recipes
from mlplab.errors import StorageError
from mlplab.models import saving
from mlplab.runs import budget, environment, growing, judge, store
from mlplab.runs.facts import Options, first_record, now
from mlplab.runs.prepare import Experiment
from mlplab.runs.publish import publish
from mlplab.runs.record import ENDED, Population, Record, Seconds, Status
from mlplab.training import callbacks, fields, tensorboard
from mlplab.training.augment import Augmentation
from mlplab.training.checkpoint import Keeper
from mlplab.training.diagnostics import Probe
from mlplab.training.engine import Ending, Fit, Plan, Row, Watcher
from mlplab.training.steps import Arrays

PROBE_IMAGES = 512  # for gradients and dead units: enough to tell a dead unit from a rare one

STATUS: dict[Ending, Status] = {
    "epochs": "finished",
    "callback": "finished",
    "interrupted": "interrupted",
    "diverged": "diverged",
}


class Job:
    """One run while it is being made."""

    def __init__(
        self,
        experiment: Experiment,
        options: Options,
        watcher: Watcher,
        folder: Path,
        begun: float,
        population: Population | None = None,
        record: Record | None = None,
    ) -> None:
        self.experiment = experiment
        self.options = options
        self.watcher = watcher
        self.folder = folder
        self.begun = begun
        self.recipe_text = recipes.to_toml(experiment.recipe)
        self.record = record or first_record(experiment, options, folder.name)
        self.record.population = population
        self.trained_before = self.record.seconds.train
        self.callbacks: list[keras.callbacks.Callback] = []
        self.ended = False
        self.resumed: dict[str, Any] | None = None

    def begin(self) -> None:
        """Write what is known before training."""
        budget.check_disk(self.experiment, self.record, self.options.runs_dir)
        files.write_text(self.folder / "recipe.toml", self.recipe_text)
        store.write_record(self.folder, self.record)

    def go_back(self, checkpoint: dict[str, Any] | None) -> None:
        """Bring the folder to the state that it had at a checkpoint, or at the run's begin."""
        facts: dict[str, Any] = {"test_openings": 0, "sizes": {}, "seconds": 0.0}
        if checkpoint:
            facts = checkpoint["run"]
        rows = checkpoint["training"]["rows"] if checkpoint else []
        self.record.test_openings = facts["test_openings"]
        self.record.epochs = len(rows)
        self.record.status, self.record.reason = "running", None
        self.record.resumed += 1
        self.record.files = {}  # they grow again
        self.trained_before = facts["seconds"]
        self.resumed = checkpoint["training"] if checkpoint else None
        with files.storage(str(self.folder)):
            growing.cut(self.folder, facts["sizes"])
        files.write_lines(self.folder / "metrics.jsonl", map(_finite, rows))
        store.write_record(self.folder, self.record)

    def _facts(self) -> dict[str, Any]:
        """Return what a checkpoint tells of the run beside its training."""
        return {
            "recipe": recipes.to_tables(self.experiment.recipe),
            "data_id": self.record.data_id,
            "versions": environment.versions(),
            "device": self.record.device,
            "test_openings": self.record.test_openings,
            "seconds": self.trained_before + time.perf_counter() - self.training_begun,
            "sizes": growing.sizes(self.folder, self.callbacks),
        }

    def plan(
        self,
        should_stop: Callable[[], bool],
        train: Arrays | None = None,
        validation: Arrays | None = None,
    ) -> Plan:
        """Build the callbacks and return what the engine is to do.

        Args:
            should_stop: asked several times a second.
            train: the training split, where it lies on the device already.
            validation: likewise.
        """
        experiment, recipe = self.experiment, self.experiment.recipe
        splits = experiment.splits
        # Drawn at random: the images of a folder lie class by class.
        chosen = judge.sample(len(splits.train), PROBE_IMAGES)
        labels = splits.train.labels[chosen]
        weights = experiment.class_weights
        self.context = callbacks.Context(
            folder=self.folder,
            images=splits.train.images[chosen],
            inputs=experiment.inputs("train")[chosen],
            labels=experiment.encoded(labels),
            weights=None if weights is None else weights[labels],
            class_names=experiment.dataset.class_names,
            recipe_text=self.recipe_text,
            trust=self.options.trust,
        )
        self.callbacks = callbacks.build(recipe.callbacks, self.context)
        self.training_begun = time.perf_counter()
        keeper = None
        if self.record.population is None:
            path = self.folder / "checkpoint" / store.CHECKPOINT
            keeper = Keeper(path, self._facts, self.options.checkpoint_seconds)
        return Plan(
            train=train or experiment.on_device("train"),
            validation=validation or experiment.on_device("validation"),
            epochs=recipe.training.epochs,
            batch_size=recipe.training.batch_size,
            seed=recipe.seed,
            class_weights=weights,
            augment=Augmentation(recipe.augment, recipe.seed),
            resizing=recipe.training.resizing,
            teacher=experiment.teacher,
            callbacks=self.callbacks,
            watcher=_Journal(self),
            should_stop=should_stop,
            on_divergence=recipe.training.on_divergence,
            look=fields.locality,
            keeper=keeper,
            resumed=self.resumed,
        )

    def trained(self, fit: Fit, seconds: float) -> None:
        """Note what the engine did in so many seconds; the trained weights are in the model."""
        self.fit = fit
        self.record.seconds = Seconds(
            prepare=round(self.experiment.seconds, 3),
            compile=round(fit.compile_seconds, 3),
            train=round(self.trained_before + seconds, 3),
            epoch_median=round(fit.epoch_median, 4),
        )
        self.record.rewinds = fit.rewinds
        self.record.best_epoch = self._best_epoch()

    def _best_epoch(self) -> int:
        for callback in reversed(self.callbacks):  # the last to restore its weights wins
            early = isinstance(callback, keras.callbacks.EarlyStopping)
            if early and callback.restore_best_weights and callback.best_weights is not None:
                return int(callback.best_epoch) + 1
        if self.fit.ending == "interrupted":
            return 0  # within an epoch the weights are those of no epoch
        return len(self.fit.rows) - (self.fit.ending == "diverged")

    def finish(self) -> None:
        """Save and judge the network, then complete the record and its page."""
        record, context = self.record, self.context
        experiment, model = self.experiment, self.experiment.model
        whole = self.options.keep == "all"
        if whole:
            probe = Probe(experiment.trained, context.inputs, context.labels, context.weights)
            record.diagnostics = probe().to_json()
        predictions: judge.Predictions = {}
        sound = all(np.isfinite(np.asarray(weight)).all() for weight in model.weights)
        status = STATUS[self.fit.ending] if sound else "diverged"
        if sound:
            # Judged as it is saved, in float32, whatever the precision of training.
            model = saving.to_keras(model)
            if self.options.keep != "results":
                saving.save(model, self.folder / "model.keras")
            model = judge.fast(model)
            record.metrics, predictions = judge.judge(
                self.folder,
                model,
                experiment.splits,
                self._splits_to_open(status),
                experiment.recipe.evaluation,
            )
            if whole:
                record.learnt = judge.learnt(model, experiment.splits, experiment.selects_on_test)
        record.ledger = store.ledger(self.options.runs_dir, record.data_id)
        if whole:
            judge.draw(
                self.folder,
                model,
                self.fit.rows,
                record.best_epoch,
                experiment.splits,
                predictions,
                record.class_names,
                record.learnt,
            )
            self._tensorboard(predictions, status)
        reason = None
        if status == "diverged":
            last = self.fit.rows[-1]["epoch"]
            reason = f"the loss was no longer finite in epoch {last:.0f}; lower the learning rate"
            if sound:
                reason += f". Kept are the weights after epoch {record.best_epoch}"
        self.end(status, reason)

    def _splits_to_open(self, status: Status) -> list[str]:
        """Return the splits to measure; the test split only for a finished run, and counted."""
        wanted = self.experiment.recipe.evaluation.splits
        which: list[str] = [name for name in wanted if name != "test"]
        opens = "test" in wanted and self.options.open_test
        if opens and status == "finished":
            which.append("test")
            # A run that selects on test has seen this figure already, once an epoch.
            if not self.experiment.selects_on_test:
                store.open_test(self.options.runs_dir, self.record)
                self.record.test_openings += 1
        elif self.experiment.selects_on_test and status != "finished":
            # Validation is the test split, and these weights have not been looked at there.
            which = [name for name in which if name != "validation"]
        return which

    def _tensorboard(self, predictions: judge.Predictions, status: Status) -> None:
        if not any(isinstance(c, tensorboard.TensorBoard) for c in self.callbacks):
            return
        tensorboard.write_results(
            self.folder / "tensorboard",
            recipe=tomllib.loads(self.recipe_text),
            config_id=self.record.config_id,
            metrics=self.record.metrics,
            **judge.mistakes(self.experiment.splits, predictions, self.record.class_names),
            class_names=self.record.class_names,
            selected_on=self.record.selected_on,
            succeeded=status == "finished",
        )

    def end(self, status: Status, reason: str | None) -> None:
        """Write the record in its last form, then the page that shows it."""
        self.ended = True
        record = self.record.model_copy(update={"status": status, "reason": reason})
        record.ended = now()
        record.peak_memory_bytes = environment.peak_memory_bytes()
        record.seconds.total = round(time.perf_counter() - self.begun, 3)
        if status in ENDED:
            shutil.rmtree(self.folder / "checkpoint", ignore_errors=True)
        publish(self.folder, record, self.experiment.recipe, page=self.options.keep == "all")


def begin(jobs: Sequence[Job]) -> None:
    """Write what is known of runs before training; leave no folder behind if that fails."""
    try:
        for job in jobs:
            job.begin()
    except StorageError:
        for job in jobs:  # nothing is in them yet that could be lost
            shutil.rmtree(job.folder, ignore_errors=True)
        raise


@contextmanager
def recorded(jobs: Sequence[Job]) -> Iterator[None]:
    """Let no run that is being made end without a record of what stopped it."""
    try:
        yield
    except BaseException as error:
        for job in jobs:
            if job.ended:
                continue
            with suppress(StorageError):
                if isinstance(error, KeyboardInterrupt):
                    job.end("interrupted", "stopped before it could be evaluated")
                else:
                    job.end("failed", str(error) or type(error).__name__)
        raise


class _Journal:
    """Writes each epoch's row, counts looks at the test split, and tells the outer watcher."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.on_steps = job.watcher.on_steps
        self.on_note = job.watcher.on_note

    def on_row(self, row: Row) -> None:
        job = self.job
        if job.experiment.selects_on_test:
            store.open_test(job.options.runs_dir, job.record)
            job.record.test_openings += 1
        files.append_line(job.folder / "metrics.jsonl", _finite(row))
        job.record.epochs = int(row["epoch"])
        store.write_record(job.folder, job.record)
        job.watcher.on_row(row)


def _finite(row: Row) -> dict[str, float | None]:
    """Return a row as JSON can hold it."""
    return {key: value if math.isfinite(value) else None for key, value in row.items()}
