"""mlplab from Python: the same as on the command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlplab import recipes
from mlplab.config import Recipe
from mlplab.runs import store
from mlplab.runs.run import Run

if TYPE_CHECKING:
    from mlplab.training.engine import Watcher

__all__ = ["Recipe", "Run", "load_run", "recipe", "resume", "train", "train_population"]


def recipe(name_or_path: str, **tables: Mapping[str, Any] | int) -> Recipe:
    """Return a shipped recipe, or one from a ``.toml`` file, with some keys changed.

    Args:
        name_or_path: such as ``"seed"`` or ``"mine.toml"``.
        **tables: keys to change, by table: ``optimizer={"name": "sgd"}``, ``seed=3``. As on the
            command line, naming another optimizer, model, data set or callback drops the keys of
            the one before.

    Raises:
        RecipeError: if the recipe or a key is wrong.

    Examples:
        >>> import mlplab
        >>> changed = mlplab.recipe("seed", optimizer={"name": "sgd", "learning_rate": 0.05})
        >>> changed.optimizer.params
        {'learning_rate': 0.05}
    """
    return recipes.load(name_or_path, tables)


def train(
    recipe: Recipe | str,
    *,
    data_dir: str | Path | None = None,
    runs_dir: str | Path = "runs",
    name: str | None = None,
    group: str | None = None,
    open_test: bool = True,
    devices: int | Literal["all"] = 1,
    trust: bool = False,
    profile: bool = False,
    watcher: "Watcher | None" = None,
) -> Run:
    """Train a recipe, evaluate the network and record the run.

    Args:
        recipe: from ``mlplab.recipe``, or a shipped name.
        data_dir: a folder that holds the data set's, such as ``cifar10/``.
        runs_dir: where the run folder is made.
        name: of the run; by default made of the recipe, the time and the seed.
        group: a label that comparisons can use.
        open_test: ``False`` leaves the test split closed.
        devices: how many of the machine's devices share each batch, or ``"all"``.
        trust: load code of your own that the recipe names.
        profile: when training has ended, time some steps beside this machine's limit, and write a
            trace of them, into ``profile/`` of the run folder.
        watcher: hears of each chunk of steps and each epoch.

    Returns:
        The run; look at ``run.record.status`` for how it ended.

    Raises:
        UserError: for a wrong recipe or missing data.
        StorageError: if the disk is full or the runs folder cannot be written.

    Examples:
        >>> import mlplab, tempfile
        >>> quick = mlplab.recipe("quickstart", training={"epochs": 2})
        >>> run = mlplab.train(quick, runs_dir=tempfile.mkdtemp())
        >>> run.record.status, len(run.history), run.record.parameters
        ('finished', 2, 85002)
        >>> run.predictions("test")["probabilities"].shape
        (359, 10)
    """
    from mlplab.runs import execute, facts

    title = Path(recipe).stem if isinstance(recipe, str) else "recipe"
    options = facts.Options(
        data_dir=Path(data_dir) if data_dir is not None else None,
        runs_dir=Path(runs_dir),
        name=name,
        group=group,
        recipe_name=title,
        open_test=open_test,
        devices=str(devices),
        trust=trust,
        profile=profile,
    )
    return execute.run(
        recipes.load(recipe) if isinstance(recipe, str) else recipe, options, watcher
    )


def train_population(
    members: Sequence[Recipe],
    *,
    data_dir: str | Path | None = None,
    runs_dir: str | Path = "runs",
    name: str | None = None,
    group: str | None = None,
    open_test: bool = True,
    trust: bool = False,
    watcher: "Watcher | None" = None,
) -> list[Run]:
    """Train recipes that differ in seed and learning rate alone, by one compiled program.

    Each becomes a run of its own, as ``train`` would have made it: to the bit where the record says
    ``population.mode = "map"``, to the rounding of sums where it says ``"vmap"``.

    Args:
        members: recipes; ``seed`` and ``optimizer.learning_rate`` may differ.
        data_dir: a folder that holds the data set's, such as ``cifar10/``.
        runs_dir: where the run folders are made.
        name: extended for each member by what it differs in: ``-s3``, ``-lr0.001-s3``.
        group: a label that comparisons can use.
        open_test: ``False`` leaves the test split closed.
        trust: load code of your own that the recipes name.
        watcher: hears of steps, and of epochs as means over the members.

    Returns:
        The runs, in the order of the recipes.

    Raises:
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
    from mlplab.runs import facts, population

    options = facts.Options(
        data_dir=Path(data_dir) if data_dir is not None else None,
        runs_dir=Path(runs_dir),
        name=name,
        group=group,
        recipe_name="population",
        open_test=open_test,
        trust=trust,
    )
    return population.run(members, options, watcher)


def resume(
    query: str = "last",
    *,
    data_dir: str | Path | None = None,
    runs_dir: str | Path = "runs",
    trust: bool = False,
    watcher: "Watcher | None" = None,
) -> Run:
    """Go on with an interrupted run, to the result that it would have had.

    Args:
        query: a run's name, a unique prefix of it, its path, or ``"last"``.
        data_dir: a folder that holds the data set's, such as ``cifar10/``.
        runs_dir: where the run lies.
        trust: load code of your own that the recipe names.
        watcher: hears of each chunk of steps and each epoch.

    Raises:
        RunError: if the run has ended or is being written, or if its recipe, its data or the
            versions of what computes have changed.
        StorageError: if the disk is full or the run folder cannot be written.
    """
    from mlplab.runs import facts
    from mlplab.runs import resume as resuming

    options = facts.Options(data_dir=Path(data_dir) if data_dir is not None else None, trust=trust)
    return resuming.resume(load_run(query, runs_dir), options, watcher)


def load_run(query: str = "last", runs_dir: str | Path = "runs") -> Run:
    """Return a run by its name, a unique prefix of it, its path, or ``"last"``.

    Raises:
        RunError: if no run or more than one fits.
    """
    return Run(store.find(Path(runs_dir), query))
