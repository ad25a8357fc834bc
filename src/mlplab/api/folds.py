"""Training over folds from Python: every training image predicted by a network new to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlplab import recipes
from mlplab.api.common import folder, runs_folder, watching
from mlplab.api.training import changed, title_of
from mlplab.recipes.recipe import Recipe

if TYPE_CHECKING:
    from mlplab.report.folds import Folds
    from mlplab.training.plan import Progress


def cross_validate(
    recipe: Recipe | str | None = None,
    folds: int = 5,
    *,
    model: Any = None,
    data: Any = None,
    optimizer: Any = None,
    callbacks: Any = None,
    data_dir: str | Path | None = None,
    runs_dir: str | Path | None = None,
    name: str = "folds",
    group: str | None = None,
    trust: bool = False,
    progress: "Progress | Literal['auto'] | None" = "auto",
    **tables: Mapping[str, Any] | int,
) -> "Folds":
    """Train a recipe once for each fold of its training images, holding that fold out.

    So every training image is predicted by a network that has not seen it. The test split is not
    used. What the runs found together is also written, into ``<name>-folds`` of the runs folder.

    Args:
        recipe: as in ``train``, like the arguments that are not named here.
        folds: how many parts; the seed decides which image is in which.
        model: as in ``train``.
        data: as in ``train``.
        optimizer: as in ``train``.
        callbacks: as in ``train``.
        data_dir: as in ``train``.
        runs_dir: as in ``train``.
        name: of the runs, with ``-f1`` and so on added.
        group: a label that comparisons can use.
        trust: as in ``train``.
        progress: as in ``train``.
        **tables: as in ``train``.

    Returns:
        The accuracies with the interval of their mean, the predictions, and doubtful labels.

    Raises:
        SystemExit: as in ``train``.
        UserError: as in ``train``; or if a run did not finish.
        StorageError: if the disk is full or the runs folder cannot be written.

    Examples:
        >>> import mlplab, tempfile
        >>> quick = mlplab.recipe("quickstart", training={"epochs": 2})
        >>> found = mlplab.cross_validate(quick, folds=3, runs_dir=tempfile.mkdtemp())
        >>> len(found.accuracies), found.predictions["probabilities"].shape
        (3, (1438, 10))
    """
    from mlplab.experiment import execute, interrupt
    from mlplab.experiment.options import Options
    from mlplab.report import folds as over_folds

    variants = recipes.over_folds(changed(recipe, model, data, optimizer, callbacks, tables), folds)
    place = runs_folder(runs_dir)
    done = []
    for number, variant in enumerate(variants, start=1):
        options = Options(
            data_dir=folder(data_dir),
            runs_dir=place,
            name=f"{name}-f{number}",
            group=group,
            recipe_name=title_of(recipe, model),
            test=False,
            trust=trust,
        )
        done.append(execute.run(variant, options, watching(progress, variant)))
        interrupt.end_if_asked()
    found = over_folds.together(done)
    over_folds.write(found, over_folds.place(done, place))
    return found
