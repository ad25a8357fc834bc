"""Training from Python: the same as on the command line, and objects of the program besides."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlplab import recipes
from mlplab.api.common import folder, runs_folder, watching
from mlplab.api.run import Run
from mlplab.recipes.recipe import Recipe
from mlplab.runs import store

if TYPE_CHECKING:
    from mlplab.training.plan import Progress


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
    recipe: Recipe | str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    optimizer: Any = None,
    callbacks: Any = None,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    group: str | None = None,
    test: bool | None = None,
    devices: int | Literal["all"] = 1,
    trust: bool = False,
    profile: bool = False,
    layers: bool = False,
    progress: "Progress | Literal['auto'] | None" = "auto",
    open_test: bool | None = None,
    **tables: Mapping[str, Any] | int,
) -> Run:
    """Train a recipe, or a model and arrays of your own; evaluate the network and record the run.

    Args:
        recipe: from ``mlplab.recipe``, or a shipped name; what the other arguments do not say is
            as in this recipe. By default, as where a recipe says nothing.
        model: a ``keras.Model``; or a function of the input shape and the number of classes that
            returns one; or a table of a recipe. Of a compiled model, loss and optimizer count. A
            model that has not been trained gets new weights from the seed; of any other, a copy is
            trained that starts from its weights. The given model itself does not change.
        data: images and labels, from ``mlplab.data`` or as ``(x, y)`` or
            ``((x_train, y_train), (x_test, y_test))``; or a table of a recipe.
        optimizer: a ``keras.optimizers.Optimizer``, or a table of a recipe.
        callbacks: ``keras.callbacks.Callback`` objects, beside those of the recipe; or tables.
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
        layers: measure and draw the network's layers after each epoch, into ``layers.jsonl`` and
            ``layers/`` of the run folder.
        progress: ``"auto"`` draws curves in a notebook, and elsewhere prints a line for each epoch
            on standard error; ``None`` shows nothing; or an object with any of the methods of
            ``mlplab.training.plan.Progress``.
        open_test: the earlier name of ``test``.
        **tables: other keys to change, by table: ``training={"epochs": 20}``, ``seed=3``.

    Returns:
        The run; look at ``run.record.status`` for how it ended.

    Raises:
        SystemExit: once the run is recorded, if SIGTERM or SIGHUP interrupted it.
        UserError: for a wrong recipe, a model or arrays that do not fit, or missing data.
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

    chosen = changed(recipe, model, data, optimizer, callbacks, tables)
    options = Options(
        data_dir=folder(data_dir),
        runs_dir=runs_folder(runs_dir),
        name=name,
        group=group,
        recipe_name=title_of(recipe, model),
        test=_by_earlier_name(test, open_test),
        devices=str(devices),
        trust=trust,
        profile=profile,
        layers=layers,
    )
    found = execute.run(chosen, options, watching(progress, chosen))
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
        data_dir=folder(data_dir),
        runs_dir=runs_folder(runs_dir),
        name=name,
        group=group,
        recipe_name="population",
        test=_by_earlier_name(test, open_test),
        trust=trust,
    )
    found = population.run(members, options, watching(progress, *members))
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
    model: Any = None,
    data: Any = None,
    optimizer: Any = None,
    callbacks: Any = None,
) -> Run:
    """Continue an interrupted run; the result is what it would have been without interruption.

    Args:
        query: a run's name, a unique prefix of it, its path, or ``"last"``, the latest that has
            not ended.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the run is.
        trust: load your own code that the recipe names.
        progress: ``"auto"`` draws curves in a notebook, and elsewhere prints a line for each epoch
            on standard error; ``None`` shows nothing; or an object with any of the methods of
            ``mlplab.training.plan.Progress``.
        data_path: where your own images are now, if they were moved.
        model: the object that the run was started with, if it was an object and this is another
            process; likewise the next three.
        data: as in ``train``.
        optimizer: as in ``train``.
        callbacks: as in ``train``.

    Raises:
        RunError: if the run has ended or is being written, or if its recipe, its data or the
            versions of the packages that compute have changed.
        SystemExit: once the run is recorded, if SIGTERM or SIGHUP interrupted it.
        StorageError: if the disk is full or the run folder cannot be written.
    """
    from mlplab.experiment import interrupt
    from mlplab.experiment import resume as resuming
    from mlplab.experiment.options import Options

    options = Options(data_dir=folder(data_dir), trust=trust)
    run = Run(store.find(runs_folder(runs_dir), query, unfinished=query == "last"))
    kept = [key for key, named in run.recipe.callbacks.items() if not named.is_given]
    _given(model, data, optimizer, callbacks, kept)
    shown = watching(progress, run.recipe)
    found = resuming.resume(run, options, shown, folder(data_path))
    interrupt.end_if_asked()
    return Run(found.folder)


def _by_earlier_name(test: bool | None, open_test: bool | None) -> bool | None:
    if open_test is None:
        return test
    warnings.warn("open_test is now called test", FutureWarning, stacklevel=3)
    return open_test


def _load(name_or_path: str, tables: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe; warn if it is asked for by an earlier name."""
    if line := recipes.renamed(name_or_path):
        warnings.warn(line, FutureWarning, stacklevel=3)
    return recipes.load(name_or_path, tables or {})


def changed(
    recipe: Recipe | str | None,
    model: Any,
    data: Any,
    optimizer: Any,
    callbacks: Any,
    tables: Mapping[str, Any],
) -> Recipe:
    """Return a recipe with what a call changes in it."""
    base = _load(recipe) if isinstance(recipe, str) else recipe or Recipe()
    objects = _given(model, data, optimizer, callbacks, list(base.callbacks))
    changes = {**objects, **tables}
    if not changes:
        return base
    pairs = recipes.leaves(changes)
    return recipes.validate(recipes.override(recipes.to_tables(base), pairs))


def _given(
    model: Any, data: Any, optimizer: Any, callbacks: Any, taken: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the tables of a recipe that objects of the program stand for."""
    found: dict[str, Any] = {}
    if any(each is not None for each in (model, optimizer, callbacks)):
        from mlplab.experiment import objects

        found = objects.tables_of(model, optimizer, callbacks, taken)
    if isinstance(data, Mapping):
        found["data"] = data
    elif data is not None:
        from mlplab.data import given

        found["data"] = {"name": "folder", "path": given.given(data).path}
    return found


def title_of(recipe: Recipe | str | None, model: Any) -> str:
    if isinstance(recipe, str):
        return recipes.title(recipe)
    if recipe is not None or model is None or isinstance(model, Mapping):
        return "recipe"
    return str(getattr(model, "__name__", "model"))
