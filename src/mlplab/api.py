"""mlplab from Python: the same as on the command line."""

import html
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlplab import files, live, recipes
from mlplab.errors import RunError, UserError
from mlplab.recipes.recipe import Recipe
from mlplab.runs import layout, lock, store
from mlplab.runs import run as runs

if TYPE_CHECKING:
    import keras

    from mlplab.report.shown import Compared, Curves
    from mlplab.training.plan import Progress

__all__ = ["Recipe", "Run", "compare", "load_run", "recipe", "resume", "train", "train_population"]


class Run(runs.Run):
    """A run folder, read on demand.

    Examples:
        >>> import mlplab
        >>> run = mlplab.load_run("last")               # doctest: +SKIP
        >>> run.metrics["validation"]["accuracy"]       # doctest: +SKIP
        0.9931
    """

    def __repr__(self) -> str:
        from mlplab.report import excerpt

        try:
            return excerpt.line(self.folder)
        except UserError as error:  # an object has to be shown, whatever became of its folder
            return f"run in {self.folder}: {error}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: facts, learning curves and findings, without scripts."""
        from mlplab.report import excerpt

        try:
            return excerpt.excerpt(self.folder)
        except UserError:
            return html.escape(repr(self))

    def plot(self) -> "Curves":
        """Return the learning curves, which show themselves in a notebook."""
        from mlplab.report.shown import Curves

        return Curves({self.name: self.history})

    def report(self) -> Path:
        """Return the path of the run's page; write it if it is missing.

        Raises:
            RunError: if it is missing, and the record is damaged or the run is being written.
        """
        page = self.folder / layout.REPORT
        if not page.exists():
            from mlplab.experiment.publish import publish_again

            with lock.writing(self.folder):
                publish_again(self.folder, store.read_own_record(self.folder), self.recipe)
        return page

    def model(self, trust: bool = False) -> "keras.Model":
        """Load the trained network: raw uint8 [n, height, width, channels] to probabilities.

        Args:
            trust: import the user's own module that the recipe names, for its classes.

        Raises:
            RunError: if the run has no network, or its file is damaged.
        """
        from mlplab.experiment.networks import load_network  # and with it Keras

        return load_network(self, trust)

    def evaluate(
        self,
        split: str = "test",
        *,
        data_dir: str | Path | None = None,
        data_path: str | Path | None = None,
        trust: bool = False,
    ) -> dict[str, Any]:
        """Evaluate the network on a split, add the metrics to the record, and return them.

        Args:
            split: ``"train"``, ``"validation"`` or ``"test"``; for a run on cifar10 also
                ``"cifar10.1"``. Each evaluation on a test set is counted in the ledger.
            data_dir: folder that contains the data set's folder, such as ``cifar10/``.
            data_path: where your own images are now, if they were moved.
            trust: import the user's own module that the recipe names.

        Raises:
            DataError: if the data set is not the one that the run was trained on, or CIFAR-10.1 is
                missing.
            RunError: if the run has no network, or is being written.
        """
        from mlplab.experiment import inference

        where, moved = _folder(data_dir), _folder(data_path)
        return inference.evaluate(self, split, where, trust, _warn, data_path=moved)


def recipe(name_or_path: str, **tables: Mapping[str, Any] | int) -> Recipe:
    """Return a shipped recipe, or one from a ``.toml`` file, with some keys changed.

    Args:
        name_or_path: such as ``"published"`` or ``"mine.toml"``.
        **tables: keys to change, by table: ``optimizer={"name": "sgd"}``, ``seed=3``. As on the
            command line, naming another optimizer, model, data set or callback drops the keys of
            the one before.

    Raises:
        RecipeError: if the recipe or a key is wrong.

    Examples:
        >>> import mlplab
        >>> changed = mlplab.recipe("published", optimizer={"name": "sgd", "learning_rate": 0.05})
        >>> changed.optimizer.params
        {'learning_rate': 0.05}
    """
    return _load(name_or_path, tables)


def train(
    recipe: Recipe | str,
    *,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    group: str | None = None,
    test: bool | None = None,
    devices: int | Literal["all"] = 1,
    trust: bool = False,
    profile: bool = False,
    progress: "Progress | Literal['auto'] | None" = "auto",
    open_test: bool | None = None,
) -> Run:
    """Train a recipe, evaluate the network and record the run.

    Args:
        recipe: from ``mlplab.recipe``, or a shipped name.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the run folder is created; by default in ``MLPLAB_RUNS_DIR``, or ``runs``.
        name: of the run; by default made of the recipe, the time and the seed.
        group: a label that comparisons can use.
        test: whether to evaluate on the test set as well when training has ended; by default only
            if the recipe says so.
        devices: how many of the machine's devices share each batch, or ``"all"``.
        trust: load your own code that the recipe names.
        profile: after training, time some steps against this machine's limit, and write a trace
            of them, into ``profile/`` of the run folder.
        progress: ``"auto"`` draws curves in a notebook, and elsewhere prints a line for each epoch
            on standard error; ``None`` shows nothing; or an object with any of the methods of
            ``mlplab.training.plan.Progress``.
        open_test: the earlier name of ``test``.

    Returns:
        The run; look at ``run.record.status`` for how it ended.

    Raises:
        SystemExit: once the run is recorded, if SIGTERM or SIGHUP interrupted it.
        UserError: for a wrong recipe or missing data.
        StorageError: if the disk is full or the runs folder cannot be written.

    Examples:
        >>> import mlplab, tempfile
        >>> quick = mlplab.recipe("quickstart", training={"epochs": 2})
        >>> run = mlplab.train(quick, runs_dir=tempfile.mkdtemp())
        >>> run.record.status, len(run.history), run.record.parameters
        ('finished', 2, 85002)
        >>> run.predictions("validation")["probabilities"].shape
        (145, 10)
    """
    from mlplab.experiment import execute, interrupt
    from mlplab.experiment.options import Options

    title = recipes.title(recipe) if isinstance(recipe, str) else "recipe"
    options = Options(
        data_dir=_folder(data_dir),
        runs_dir=_runs_dir(runs_dir),
        name=name,
        group=group,
        recipe_name=title,
        test=_by_earlier_name(test, open_test),
        devices=str(devices),
        trust=trust,
        profile=profile,
    )
    chosen = _load(recipe) if isinstance(recipe, str) else recipe
    found = execute.run(chosen, options, _watching(progress, chosen))
    interrupt.end_if_asked()
    return Run(found.folder)


def train_population(
    members: Sequence[Recipe],
    *,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    group: str | None = None,
    test: bool | None = None,
    trust: bool = False,
    progress: "Progress | Literal['auto'] | None" = "auto",
    open_test: bool | None = None,
) -> list[Run]:
    """Train recipes that differ only in seed and learning rate, in one compiled program.

    Each becomes its own run, as ``train`` would have made it: bit for bit where the record says
    ``population.mode = "map"``, up to the rounding of sums where it says ``"vmap"``.

    Args:
        members: recipes; ``seed`` and ``optimizer.learning_rate`` may differ.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the run folders are created; as in ``train``.
        name: extended for each member by what it differs in: ``-s3``, ``-lr0.001-s3``.
        group: a label that comparisons can use.
        test: whether to evaluate on the test set as well when training has ended; by default only
            if the recipe says so.
        trust: load your own code that the recipes name.
        progress: called with steps, and with epochs as means over the members; as in ``train``.
        open_test: the earlier name of ``test``.

    Returns:
        The runs, in the order of the recipes.

    Raises:
        SystemExit: once the runs are recorded, if SIGTERM or SIGHUP interrupted them.
        UserError: for wrong recipes or missing data, before anything is written.
        StorageError: if the disk is full or the runs folder cannot be written.

    Examples:
        >>> import mlplab, tempfile
        >>> quick = mlplab.recipe("quickstart", training={"epochs": 2})
        >>> members = [quick.model_copy(update={"seed": seed}) for seed in (0, 1)]
        >>> runs = mlplab.train_population(members, runs_dir=tempfile.mkdtemp())
        >>> [(run.record.seed, run.record.population.members) for run in runs]
        [(0, 2), (1, 2)]
    """
    from mlplab.experiment import interrupt, population
    from mlplab.experiment.options import Options

    options = Options(
        data_dir=_folder(data_dir),
        runs_dir=_runs_dir(runs_dir),
        name=name,
        group=group,
        recipe_name="population",
        test=_by_earlier_name(test, open_test),
        trust=trust,
    )
    found = population.run(members, options, _watching(progress, *members))
    interrupt.end_if_asked()
    return [Run(run.folder) for run in found]


def resume(
    query: str = "last",
    *,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    trust: bool = False,
    progress: "Progress | Literal['auto'] | None" = "auto",
    data_path: str | Path | None = None,
) -> Run:
    """Continue an interrupted run; the result is what it would have been without interruption.

    Args:
        query: a run's name, a unique prefix of it, its path, or ``"last"``.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the run is.
        trust: load your own code that the recipe names.
        progress: ``"auto"`` draws curves in a notebook, and elsewhere prints a line for each epoch
            on standard error; ``None`` shows nothing; or an object with any of the methods of
            ``mlplab.training.plan.Progress``.
        data_path: where your own images are now, if they were moved.

    Raises:
        RunError: if the run has ended or is being written, or if its recipe, its data or the
            versions of the packages that compute have changed.
        SystemExit: once the run is recorded, if SIGTERM or SIGHUP interrupted it.
        StorageError: if the disk is full or the run folder cannot be written.
    """
    from mlplab.experiment import interrupt
    from mlplab.experiment import resume as resuming
    from mlplab.experiment.options import Options

    options = Options(data_dir=_folder(data_dir), trust=trust)
    run = load_run(query, runs_dir)
    watching = _watching(progress, run.recipe)
    found = resuming.resume(run, options, watching, _folder(data_path))
    interrupt.end_if_asked()
    return Run(found.folder)


def compare(
    *sides: "str | Run",
    on: Literal["test", "validation"] | None = None,
    margin: float | None = None,
    runs_dir: str | Path | None = None,
) -> "Compared":
    """Compare runs or groups of replicates: is one better, and is that luck?

    Args:
        *sides: runs, or names: of runs and groups, config_ids, globs, ``STUDY/VARIANT``. The others
            are compared with the first, seed by seed.
        on: the split to compare on; by default test where all have been measured there.
        margin: points that a difference must reach to matter; by default half a point.
        runs_dir: where the runs are, by default those of ``MLPLAB_RUNS_DIR``, or ``runs``.

    Returns:
        A comparison that shows itself: table, verdicts and learning curves.

    Raises:
        RunError: if a name fits nothing, or the runs cannot be compared.
    """
    from mlplab.report import comparison
    from mlplab.report.configurations import find_sides
    from mlplab.report.shown import Compared

    names = [str(side.folder) if isinstance(side, runs.Run) else side for side in sides]
    found = find_sides(_runs_dir(runs_dir), names)
    if len(found) < 2:
        raise RunError("name two or more to compare")
    share = comparison.MARGIN if margin is None else margin / 100
    return Compared(comparison.compare(found, on, share), list(found))


def load_run(query: str = "last", runs_dir: str | Path | None = None) -> Run:
    """Return a run by its name, a unique prefix of it, its path, or ``"last"``.

    Raises:
        RunError: if no run or more than one fits.
    """
    return Run(store.find(_runs_dir(runs_dir), query))


def _watching(progress: Any, *recipes: Recipe) -> "Progress | None":
    """Return what watches a training: the given object, or for ``"auto"`` what fits the place."""
    if progress != "auto":
        found: Progress | None = progress
        return found
    return live.watcher(recipes[0].training.epochs if recipes else 0)


def _runs_dir(given: str | Path | None) -> Path:
    """Return a folder of runs: the given one, or that of the environment, or ``runs``."""
    return files.expanded(given or os.environ.get("MLPLAB_RUNS_DIR") or "runs")


def _folder(given: str | Path | None) -> Path | None:
    return None if given is None else files.expanded(given)


def _by_earlier_name(test: bool | None, open_test: bool | None) -> bool | None:
    if open_test is None:
        return test
    warnings.warn("open_test is now called test", FutureWarning, stacklevel=3)
    return open_test


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def _load(name_or_path: str, tables: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe; warn if it is asked for by an earlier name."""
    if line := recipes.renamed(name_or_path):
        warnings.warn(line, FutureWarning, stacklevel=3)
    return recipes.load(name_or_path, tables or {})
