"""Many trainings from Python: studies, and range tests of the learning rate."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlplab import live
from mlplab.api.common import folder, runs_folder, watching
from mlplab.api.training import changed
from mlplab.errors import RecipeError
from mlplab.recipes import leaves
from mlplab.recipes.recipe import Recipe
from mlplab.runs import store

if TYPE_CHECKING:
    from mlplab.report.shown import Studied
    from mlplab.study.run import StudyProgress
    from mlplab.training.plan import Progress
    from mlplab.training.rate_finder import RangeTest


def study(
    name_or_path: str,
    *,
    quick: bool = False,
    name: str | None = None,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    trust: bool = False,
    progress: "StudyProgress | Literal['auto'] | None" = "auto",
    **keys: Any,
) -> "Studied":
    """Run a study: many trials by design, the best of each variant on fresh seeds, a verdict.

    A study that was stopped continues when it is called again in the same way. Its runs are
    trained in other processes, so its recipes can name code of your own in modules, but not
    objects of this program.

    Args:
        name_or_path: a shipped study's name, or a ``.toml`` file.
        quick: its short form: minutes, not hours, on two cores.
        name: of the study's folder in the runs folder.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the study's folder is; by default in ``MLPLAB_RUNS_DIR``, or ``runs``.
        workers: runs at the same time; by default as many as fit.
        engine: ``"local"``, processes of this machine, or ``"ray"``, a Ray cluster.
        address: of the Ray cluster, ``"HOST:PORT"`` or ``"auto"``; by default one is started here.
        trust: load your own code that its recipes name.
        progress: ``"auto"`` prints a line for each run that ends; ``None`` shows nothing; or an
            object with the methods of ``mlplab.study.run.StudyProgress``.
        **keys: keys of the study to change: ``trials=4``, ``data={"name": "digits"}``.

    Returns:
        The study's results, which show themselves: a table, the verdicts and the curves.

    Raises:
        UserError: for what the user can fix.
        StorageError: if the disk is full or the runs folder cannot be written.
    """
    from mlplab.report.shown import Studied
    from mlplab.study import design, executors, preconditions
    from mlplab.study import run as conduct

    if address is not None and engine != "ray":
        raise RecipeError('address= is for a Ray cluster: add engine="ray"')
    pairs = {".".join(path): value for path, value in leaves(keys)}
    chosen = design.load(name_or_path, quick, pairs)
    own = name or store.name_from(Path(name_or_path).stem, "study") + "-quick" * quick
    place = runs_folder(runs_dir) / store.check_name(own)
    words = ["mlplab", "study", name_or_path, *(f"{key}={value}" for key, value in pairs.items())]
    settings = preconditions.Settings(
        folder=place,
        data_dir=folder(data_dir),
        trust=trust,
        command=shlex.join([*words, *["--quick"] * quick, *["--trust"] * trust]),
    )
    executors.check(engine, address)
    required = preconditions.prepare(chosen, settings)
    preconditions.begin(chosen, place, required)
    shown = live.StudyLines(chosen.maximise) if progress == "auto" else progress
    note = live.Lines(0).on_note if progress == "auto" else lambda text: None
    with executors.opened(
        engine, address, workers, required.needed, place, note, trust
    ) as executor:
        conduct.conduct(chosen, settings, executor, shown or live.NoStudyProgress())
    return Studied(place)


def lr_find(
    recipe: Recipe | str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    optimizer: Any = None,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    trust: bool = False,
    progress: "Progress | Literal['auto'] | None" = "auto",
    **tables: Mapping[str, Any] | int,
) -> "RangeTest":
    """Find a learning rate: train a few steps at rising rates, until the loss explodes.

    Args:
        recipe: as in ``train``; likewise ``model``, ``data``, ``optimizer`` and ``tables``.
        model: as in ``train``.
        data: as in ``train``.
        optimizer: as in ``train``.
        low: the lowest rate.
        high: the highest rate.
        steps: steps, at most.
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the runs are that the recipe names.
        trust: load your own code that the recipe names.
        progress: receives notes; ``None`` for none.
        **tables: keys to change, as in ``train``.

    Returns:
        Rates and losses, and a ``suggestion``, which is ``None`` if the loss did not fall. In a
        notebook, their picture.

    Raises:
        UserError: for what the user can fix.
    """
    from mlplab.experiment import lr_finder
    from mlplab.experiment.options import Options

    if low >= high:
        raise RecipeError(f"low={low:g} is not below high={high:g}")
    chosen = changed(recipe, model, data, optimizer, None, tables)
    options = Options(data_dir=folder(data_dir), runs_dir=runs_folder(runs_dir), trust=trust)
    return lr_finder.find(chosen, options, watching(progress, chosen), low, high, steps)
