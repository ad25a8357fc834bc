"""The one function that joins data, model, optimizer, engine, judgement and record."""

import math
import shutil
import signal
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np

from mlplab import data, models, recipes
from mlplab.config import Recipe
from mlplab.data import Dataset, Splits
from mlplab.data.statistics import channel_statistics
from mlplab.errors import RecipeError, StorageError
from mlplab.models.flops import flops_per_example
from mlplab.models.inputs import scaling_layer
from mlplab.optim import optimizers, schedules
from mlplab.report.findings import findings
from mlplab.report.page import write_run_page
from mlplab.runs import environment, judge, store
from mlplab.runs.record import Record, Seconds
from mlplab.runs.run import Run
from mlplab.training import callbacks, losses, tensorboard
from mlplab.training.diagnostics import Probe
from mlplab.training.engine import Fit, Plan, Row, Silent, Watcher, fit
from mlplab.training.steps import Arrays

PROBE_IMAGES = 512  # for gradients and dead units: enough to tell a dead unit from a rare one
STATUS = {"epochs": "finished", "callback": "finished"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is given beside its recipe; none of it changes the result.

    Attributes:
        data_dir: a folder that holds the data set's.
        runs_dir: where the run folder is made.
        name: of the run; by default ``<recipe>-<date>-<time>-s<seed>``.
        group: a label that comparisons can use.
        recipe_name: what the recipe is called.
        command: what repeats the run.
        open_test: ``False`` leaves the test split closed.
        trust: load code of the user's own that the recipe names.
    """

    data_dir: Path | None = None
    runs_dir: Path = Path("runs")
    name: str | None = None
    group: str | None = None
    recipe_name: str = "recipe"
    command: str = ""
    open_test: bool = True
    trust: bool = False


def complete(recipe: Recipe) -> Recipe:
    """Return the recipe with Keras's names and defaults written out.

    Raises:
        RecipeError: if an optimizer, schedule, loss or callback does not exist or fit.
    """
    optimizer = optimizers.complete(recipe.optimizer)
    schedule = recipe.schedule
    if schedule is not None:
        schedule = schedules.complete(schedule, optimizer.params["learning_rate"])
    listening = {key: callbacks.complete(key, named) for key, named in recipe.callbacks.items()}
    losses.build(recipe.loss)
    completed = recipe.model_copy(
        update={"optimizer": optimizer, "schedule": schedule, "callbacks": listening}
    )
    callbacks.check_together(completed)
    return completed


def run(recipe: Recipe, options: Options, watcher: Watcher | None = None) -> Run:
    """Train, evaluate and record one run.

    Args:
        recipe: what to do.
        options: where, and under what name.
        watcher: hears of progress.

    Returns:
        The run. Its record's ``status`` is ``finished``; ``interrupted`` after Ctrl-C, with the
        weights of that moment; or ``diverged`` if the loss was no longer finite.

    Raises:
        UserError: for what the user can mend, before anything is written.
        StorageError: if the disk is full or the runs folder cannot be written.
    """
    begun = time.perf_counter()
    watcher = watcher or Silent()
    recipe = complete(recipe)
    store.check_name(options.name or options.recipe_name)
    dataset = data.load(recipe.data, options.data_dir, watcher.on_note)
    splits = data.split(dataset, recipe.data.validation, recipe.seed)
    job = _Job(recipe, options, watcher, dataset, splits, begun)
    job.build()
    folder = store.create(options.runs_dir, options.name or _default_name(options, recipe))
    try:
        job.begin(folder)
    except StorageError:
        shutil.rmtree(folder, ignore_errors=True)  # nothing is in it yet that could be lost
        raise
    try:
        with store.storage(f"the run folder {folder}"), interruptible() as should_stop:
            job.train(should_stop)
            job.finish()
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        with suppress(StorageError):
            job.end("interrupted" if stopped else "failed", "stopped" if stopped else str(error))
        raise
    return Run(folder)


def _default_name(options: Options, recipe: Recipe) -> str:
    return f"{options.recipe_name}-{datetime.now():%Y%m%d-%H%M%S}-s{recipe.seed}"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether Ctrl-C was pressed; a second Ctrl-C stops at once."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def press(*_: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


class _Job:
    """One run while it is being made."""

    def __init__(
        self,
        recipe: Recipe,
        options: Options,
        watcher: Watcher,
        dataset: Dataset,
        splits: Splits,
        begun: float,
    ) -> None:
        self.recipe = recipe
        self.options = options
        self.watcher = watcher
        self.dataset = dataset
        self.splits = splits
        self.begun = begun
        self.selects_on_test = recipe.data.validation == "test"

    def build(self) -> None:
        """Make the compiled model, with every random choice decided by the recipe's seed."""
        recipe, train = self.recipe, self.splits.train
        keras.utils.set_random_seed(recipe.seed)
        keras.config.disable_interactive_logging()  # Keras would print among our results
        moments = channel_statistics(train.images) if self._standard else (None, None)
        scaling = scaling_layer(recipe.data.scaling, *moments)
        shape, classes = train.images.shape[1:], len(self.dataset.class_names)
        self.model = models.build(
            recipe.model, shape, classes, scaling, recipe.seed, self.options.trust
        )
        self.loss = losses.build(recipe.loss)
        rate = None
        if recipe.schedule is not None:
            rate = schedules.build(
                recipe.schedule,
                recipe.optimizer.params["learning_rate"],
                math.ceil(len(train) / recipe.training.batch_size),
                recipe.training.epochs,
            )
        optimizer = optimizers.build(recipe.optimizer, self.model, rate)
        # jit_compile concerns Keras's own loop alone; the engine compiles for itself.
        self.model.compile(optimizer=optimizer, loss=self.loss, metrics=["accuracy"])
        self.class_weights = self._class_weights(classes)

    @property
    def _standard(self) -> bool:
        return self.recipe.data.scaling == "standard"

    def _class_weights(self, classes: int) -> Any:
        wanted = self.recipe.loss.class_weights
        if wanted is None:
            return None
        if wanted == "balanced":
            return data.class_weights(self.splits.train.labels, classes)
        if len(wanted) != classes:
            raise RecipeError(
                f"loss.class_weights has {len(wanted)} weights, the data set {classes} classes"
            )
        return np.asarray(wanted, np.float32)

    def begin(self, folder: Path) -> None:
        """Write what is known before training."""
        recipe, options = self.recipe, self.options
        self.folder = folder
        self.record = Record(
            name=folder.name,
            group=options.group,
            recipe=options.recipe_name,
            command=options.command,
            config_id=recipes.config_id(recipe),
            seed=recipe.seed,
            data=self.dataset.name,
            data_id=self.dataset.data_id,
            class_names=list(self.dataset.class_names),
            image_shape=list(self.splits.train.images.shape[1:]),
            skipped=list(self.dataset.skipped),
            parameters=self.model.count_params(),
            flops_per_example=flops_per_example(self.model),
            selected_on="test" if self.selects_on_test else "validation",
            precision=recipe.training.precision,
            device=environment.device(),
            versions=environment.versions(),
            git=environment.git(),
            started=_now(),
            model_summary=_summary(self.model),
        )
        self._check_space()
        self.text = recipes.to_toml(recipe)
        store.write_text(folder / "recipe.toml", self.text)
        store.write_record(folder, self.record)

    def _check_space(self) -> None:
        """Refuse to train what could not be saved: network, predictions, events and figures."""
        images = sum(len(s) for s in (self.splits.train, self.splits.validation, self.splits.test))
        needed = 4 * (2 * self.record.parameters + images * len(self.record.class_names)) + 2**25
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise StorageError(
                f"the run needs about {needed / 2**20:.0f} MiB in {self.options.runs_dir}, where"
                f" {free / 2**20:.0f} MiB are free; free some or choose another --runs-dir"
            )

    def train(self, should_stop: Callable[[], bool]) -> None:
        recipe, train, validation = self.recipe, self.splits.train, self.splits.validation
        classes = len(self.dataset.class_names)
        labels = train.labels[:PROBE_IMAGES]
        context = callbacks.Context(
            folder=self.folder,
            images=train.images[:PROBE_IMAGES],
            labels=losses.encode(self.loss, labels, classes),
            weights=None if self.class_weights is None else self.class_weights[labels],
            class_names=self.dataset.class_names,
            recipe_text=self.text,
            trust=self.options.trust,
        )
        self.context = context
        self.callbacks = callbacks.build(recipe.callbacks, context)
        begun = time.perf_counter()
        self.fit: Fit = fit(
            self.model,
            Plan(
                train=_on_device(train, self.loss, classes),
                validation=_on_device(validation, self.loss, classes),
                epochs=recipe.training.epochs,
                batch_size=recipe.training.batch_size,
                seed=recipe.seed,
                class_weights=self.class_weights,
                callbacks=self.callbacks,
                watcher=_Journal(self),
                should_stop=should_stop,
            ),
        )
        self.record.seconds = Seconds(
            compile=round(self.fit.compile_seconds, 3),
            train=round(time.perf_counter() - begun, 3),
            epoch_median=round(self.fit.epoch_median, 4),
        )
        self.record.epochs = len(self.fit.rows)
        self.record.best_epoch = self._best_epoch()

    def _best_epoch(self) -> int:
        for callback in self.callbacks:
            early = isinstance(callback, keras.callbacks.EarlyStopping)
            if early and callback.restore_best_weights and callback.best_weights is not None:
                return int(callback.best_epoch) + 1
        return len(self.fit.rows)

    def finish(self) -> None:
        """Save and judge the network, then complete the record and its page."""
        record, status = self.record, STATUS.get(self.fit.ending, self.fit.ending)
        context = self.context
        probe = Probe(self.model, context.images, context.labels, context.weights)
        record.diagnostics = probe().to_json()
        sound = all(np.isfinite(np.asarray(w)).all() for w in self.model.weights)
        predictions: judge.Predictions = {}
        if sound:
            _save_model(self.model, self.folder / "model.keras")
            which = self._splits_to_open(status)
            record.metrics, predictions = judge.judge(
                self.folder, self.model, self.splits, which, self.recipe.evaluation.top_k
            )
        record.ledger = store.ledger(self.options.runs_dir, record.data_id)
        judge.draw(
            self.folder,
            self.model,
            self.fit.rows,
            record.best_epoch,
            self.splits,
            predictions,
            record.class_names,
        )
        self._tensorboard(predictions)
        reason = None
        if status == "diverged":
            last = self.fit.rows[-1]["epoch"]
            reason = f"the loss was no longer finite in epoch {last:.0f}; lower the learning rate"
        self.end(status, reason)

    def _splits_to_open(self, status: str) -> list[str]:
        """Return the splits to measure; the test split only for a finished run, and counted."""
        which: list[str] = [name for name in self.recipe.evaluation.splits if name != "test"]
        opens = "test" in self.recipe.evaluation.splits and self.options.open_test
        if opens and status == "finished":
            which.append("test")
            # A run that selects on test has seen this figure already, once an epoch.
            if not self.selects_on_test:
                store.open_test(self.options.runs_dir, self.record)
                self.record.test_openings += 1
        return which

    def _tensorboard(self, predictions: judge.Predictions) -> None:
        if not any(isinstance(c, tensorboard.TensorBoard) for c in self.callbacks):
            return
        tensorboard.write_results(
            self.folder / "tensorboard",
            recipe=tomllib.loads(self.text),
            config_id=self.record.config_id,
            metrics=self.record.metrics,
            **judge.mistakes(self.splits, predictions, self.dataset.class_names),
            class_names=self.dataset.class_names,
        )

    def end(self, status: str, reason: str | None) -> None:
        """Write the record in its last form, then the page that shows it."""
        record = self.record.model_copy(update={"status": status, "reason": reason})
        record.ended = _now()
        record.peak_memory_bytes = environment.peak_memory_bytes()
        rows = store.read_lines(self.folder / "metrics.jsonl")
        record.findings = findings(record.to_json(), rows, self.recipe.model_dump())
        record.seconds.total = round(time.perf_counter() - self.begun, 3)
        record.files = store.hashes(self.folder)
        store.write_record(self.folder, record)
        write_run_page(self.folder)
        record.files = store.hashes(self.folder)
        store.write_record(self.folder, record)
        self.record = record


class _Journal:
    """Writes each epoch's row, counts looks at the test split, and tells the outer watcher."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.on_steps = job.watcher.on_steps
        self.on_note = job.watcher.on_note

    def on_row(self, row: Row) -> None:
        job = self.job
        if job.selects_on_test:
            store.open_test(job.options.runs_dir, job.record)
            job.record.test_openings += 1
        finite = {key: value if math.isfinite(value) else None for key, value in row.items()}
        store.append_line(job.folder / "metrics.jsonl", finite)
        job.watcher.on_row(row)


def _on_device(split: data.Split, loss: keras.losses.Loss, classes: int) -> Arrays:
    return Arrays(
        jnp.asarray(split.images), jnp.asarray(losses.encode(loss, split.labels, classes))
    )


def _save_model(model: keras.Model, path: Path) -> None:
    """Save the network alone: who loads it predicts, and the optimizer would triple the file."""
    model.optimizer, model.compiled = None, False
    aside = path.with_name(".saving.keras")
    with store.storage(str(path)):
        try:
            model.save(aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _summary(model: keras.Model) -> str:
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=80)
    return "\n".join(lines)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
