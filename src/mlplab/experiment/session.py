"""One run during training: its record, its folder, its callbacks, its checkpoints."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import keras

from mlplab import files, recipes
from mlplab.augment.pipeline import Augmentation
from mlplab.errors import StorageError, optional
from mlplab.evaluation import fields
from mlplab.experiment import append_files, budget, environment, judge
from mlplab.experiment.complete import code
from mlplab.experiment.epochs import EpochWriter, ProgressFile
from mlplab.experiment.first_record import first_record
from mlplab.experiment.layers import Layers
from mlplab.experiment.options import Options
from mlplab.experiment.prepare import Experiment
from mlplab.experiment.publish import publish
from mlplab.models import user_code
from mlplab.models.footprint import evaluation_batch
from mlplab.recipes.networks import CustomModel
from mlplab.runs import layout, ledger, store
from mlplab.runs.checkpoint import Checkpoint, RunState, TrainingState
from mlplab.runs.record import ENDED, Population, Record, Seconds, Status
from mlplab.tracking.callback import Track
from mlplab.training import callbacks, devices
from mlplab.training.arrays import Arrays
from mlplab.training.checkpoints import Keeper
from mlplab.training.plan import (
    Control,
    Fit,
    Plan,
    Progress,
    TrainingData,
    TrainingSchedule,
)

PROBE_IMAGES = 512  # for gradients and dead units: enough to distinguish dead units from rare ones


class Session:
    """One run during training.

    Args:
        experiment: what is trained.
        options: where, and under what name.
        progress: of the run.
        folder: of the run.
        started: when, by ``time.perf_counter``.
        population: the population that the run is part of, if any.
        record: of a run that is resumed; by default a new one.

    Attributes:
        recipe_text: the complete recipe as TOML.
        code: source files of the user's own that the recipe names.
        record: the content of ``record.json`` so far.
        fit: what the engine did so far.
        ended: whether the record was written in its final form.
    """

    def __init__(
        self,
        experiment: Experiment,
        options: Options,
        progress: Progress,
        folder: Path,
        started: float,
        population: Population | None = None,
        record: Record | None = None,
    ) -> None:
        self.experiment = experiment
        self.options = options
        self.progress = progress
        self.folder = folder
        self.started = started
        self.recipe_text = recipes.to_toml(experiment.recipe)
        self.code = code(experiment.recipe)
        self.record = record or first_record(
            experiment, options, folder.name, user_code.digest(self.code)
        )
        self.record.population = population
        self.fit = Fit()
        self.ended = False
        training = experiment.recipe.training
        self._steps = ProgressFile(folder, training.epochs, training.batch_size)
        self._resumed: TrainingState | None = None
        self._seconds_before = self.record.seconds.train
        self._training_started = started

    @cached_property
    def context(self) -> callbacks.Context:
        """What the callbacks need to know about the run."""
        experiment = self.experiment
        train = experiment.splits.train
        # Drawn at random: the images of a folder are in order of their classes.
        chosen = judge.sample(len(train), PROBE_IMAGES)
        labels = train.labels[chosen]
        weights = experiment.class_weights
        return callbacks.Context(
            folder=self.folder,
            images=train.images[chosen],
            inputs=experiment.inputs("train")[chosen],
            labels=experiment.encoded(labels),
            weights=None if weights is None else weights[labels],
            class_names=experiment.dataset.class_names,
            recipe_text=self.recipe_text,
            config_id=self.record.config_id,
            trust=self.options.trust,
            note=self.progress.on_note,
        )

    @cached_property
    def callbacks(self) -> list[keras.callbacks.Callback]:
        """The recipe's callbacks, in its order."""
        return callbacks.build(self.experiment.recipe.callbacks, self.context)

    def begin(self) -> None:
        """Write what is known before training.

        Raises:
            StorageError: if there is too little space, or the folder cannot be written.
        """
        splits = self.experiment.splits
        images = sum(map(len, (splits.train, splits.validation, splits.test)))
        budget.check_disk(
            self.record.parameters,
            images * len(self.record.class_names),
            self.options.runs_dir,
            checkpoints=self.record.population is None,
        )
        files.write_text(self.folder / layout.RECIPE, self.recipe_text)
        with files.storage(str(self.folder)):
            for path, source in self.code.items():
                target = self.folder / layout.CODE / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source)
        store.write_record(self.folder, self.record)

    def go_back(self, checkpoint: Checkpoint | None) -> None:
        """Return the folder to its state at a checkpoint, or before the first epoch."""
        rows = checkpoint.training.rows if checkpoint else []
        self.record.test_openings = checkpoint.run.test_openings if checkpoint else 0
        self.record.epochs = len(rows)
        self.record.status, self.record.reason = "running", None
        self.record.resumed += 1
        self.record.files = {}  # the files will grow again
        self._seconds_before = checkpoint.run.seconds if checkpoint else 0.0
        self._resumed = checkpoint.training if checkpoint else None
        with files.storage(str(self.folder)):
            append_files.cut(self.folder, checkpoint.run.sizes if checkpoint else {})
        files.write_lines(self.folder / layout.METRICS, map(files.finite, rows))
        store.write_record(self.folder, self.record)

    def plan(
        self,
        should_stop: Callable[[], bool],
        train: Arrays | None = None,
        validation: Arrays | None = None,
        shared: Sequence[devices.Device] = (),
    ) -> Plan:
        """Return what the engine has to do; its clock starts here.

        Args:
            should_stop: called several times a second.
            train: the training split, if it is already on the device.
            validation: likewise.
            shared: devices that share each batch.
        """
        experiment, recipe = self.experiment, self.experiment.recipe
        control = Control(
            callbacks=self.callbacks,
            progress=self._writer(),
            devices=shared,
            should_stop=should_stop,
            epoch_metrics=fields.locality,
            keeper=self._keeper(),
            resumed=self._resumed,
        )
        self._training_started = time.perf_counter()
        custom = isinstance(recipe.model, CustomModel)
        return Plan(
            data=TrainingData(
                train=train or experiment.on_device("train"),
                validation=validation or experiment.on_device("validation"),
                class_weights=experiment.class_weights,
                augment=Augmentation(recipe.augment, recipe.seed),
                teacher=experiment.teacher,
            ),
            schedule=TrainingSchedule(
                epochs=recipe.training.epochs,
                batch_size=recipe.training.batch_size,
                # Those of the user's own networks may have losses that are not means over images.
                validation_batch=None if custom else evaluation_batch(experiment.trained),
                seed=recipe.seed,
                resizing=recipe.training.resizing,
                on_divergence=recipe.training.on_divergence,
                worth_cpp=experiment.is_worth_cpp,
            ),
            control=control,
        )

    def _writer(self) -> EpochWriter:
        counted = self.experiment.selects_on_test
        begin_row = self.open_test if counted else lambda: None
        layers = self._layers()
        return EpochWriter(self.folder, self.record, self.progress, self._steps, layers, begin_row)

    def _layers(self) -> Layers | None:
        if not self.options.layers or self.record.population is not None:
            return None
        epochs = self.experiment.recipe.training.epochs
        context, note = self.context, self.progress.on_note
        sample = (context.inputs, context.labels, context.weights)
        layers = Layers(self.folder, self.experiment.trained, *sample, epochs, note)
        if self._resumed is None:
            layers.begin()
        return layers

    def _keeper(self) -> Keeper | None:
        if self.record.population is not None:
            return None
        path = self.folder / layout.CHECKPOINT
        return Keeper(path, self._state, self.options.checkpoint_seconds)

    def _state(self) -> RunState:
        """Return the part of a checkpoint about the run, apart from its training."""
        return RunState(
            recipe=recipes.to_tables(self.experiment.recipe),
            data_id=self.record.data_id,
            versions=environment.versions(),
            device=self.record.device,
            test_openings=self.record.test_openings,
            seconds=self._seconds_before + time.perf_counter() - self._training_started,
            sizes=append_files.sizes(self.folder, self.callbacks),
        )

    def trained(self, fit: Fit, seconds: float) -> None:
        """Record what the engine did, and in how long; the trained weights are in the model."""
        self.fit = fit
        self.record.seconds = Seconds(
            prepare=round(self.experiment.seconds, 3),
            compile=round(fit.compile_seconds, 3),
            train=round(self._seconds_before + seconds, 3),
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
            return 0  # within an epoch, the weights do not belong to any epoch
        last = int(self.fit.rows[-1]["epoch"]) if self.fit.rows else 0
        return last - (self.fit.ending == "diverged")

    def open_test(self) -> None:
        """Count an evaluation on the test split."""
        ledger.open_test(self.options.runs_dir, self.record)
        self.record.test_openings += 1

    def end(self, status: Status, reason: str | None) -> None:
        """Write the record in its final form, then the page that shows it."""
        self.conclude(status, reason)
        self.publish()

    def conclude(self, status: Status, reason: str | None) -> None:
        """Write the record. Whatever fails afterwards, the run has ended and has its result."""
        self.ended = True
        self._steps.remove()
        self.record = self.record.model_copy(update={"status": status, "reason": reason})
        self._measure()
        if status in ENDED:  # so that a record is complete even if no page can be written
            self.record.files = store.hashes(self.folder)
        store.write_record(self.folder, self.record)
        if status in ENDED:
            shutil.rmtree(self.folder / layout.CHECKPOINTS, ignore_errors=True)
        self._tell_trackers()

    def _tell_trackers(self) -> None:
        record = self.record
        for callback in vars(self).get("callbacks", ()):  # built only if training began
            if isinstance(callback, Track):
                with optional(f"the end of the run at {callback.to}", self.progress.on_note):
                    callback.conclude(record.metrics, record.epochs, record.status)

    def publish(self) -> None:
        """Write the record again, with findings and hashes, and the page that shows it."""
        self._measure()
        page = self.options.keep == "all"
        recipe, note = self.experiment.recipe, self.progress.on_note
        with optional(f"the record of {self.record.name}, complete with its findings,", note):
            publish(self.folder, self.record, recipe, note, page)

    def _measure(self) -> None:
        self.record.ended = environment.now()
        self.record.peak_memory_bytes = environment.peak_memory_bytes()
        # Of a resumed run, the training before belongs to it as well.
        total = self._seconds_before + time.perf_counter() - self.started
        self.record.seconds.total = round(total, 3)


def begin(sessions: Sequence[Session]) -> None:
    """Write what is known about runs before training; leave no folder behind if that fails."""
    try:
        for session in sessions:
            session.begin()
    except StorageError:
        for session in sessions:  # their folders have no results yet that could be lost
            shutil.rmtree(session.folder, ignore_errors=True)
        raise


@contextmanager
def recorded(sessions: Sequence[Session]) -> Iterator[None]:
    """Make sure that no run ends without a record of what stopped it."""
    try:
        yield
    except BaseException as error:
        for session in sessions:
            if session.ended:
                continue
            with suppress(StorageError):
                if isinstance(error, KeyboardInterrupt):
                    session.end("interrupted", "stopped before it could be evaluated")
                else:
                    session.end("failed", str(error) or type(error).__name__)
        raise
