"""What a trained run is used for: another evaluation, and the classification of pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlplab import data, figures, files
from mlplab.data.folder import pictures
from mlplab.data.images import Fit, Shape, read_image, read_images
from mlplab.errors import DataError, RunError, nearest
from mlplab.evaluation import evaluate as evaluation
from mlplab.evaluation.saliency import explainer
from mlplab.experiment import data_checks, judge
from mlplab.experiment.export import Exported
from mlplab.experiment.isolation import isolated
from mlplab.experiment.networks import load_network
from mlplab.experiment.publish import publish_again
from mlplab.experiment.split import data_of
from mlplab.experiment.split import split as split_as
from mlplab.runs import layout, ledger, lock, store
from mlplab.runs.run import Run

AT_ONCE = 100  # pictures that are read before they are classified


@isolated()
def evaluate(
    run: Run,
    split: str,
    data_dir: Path | None = None,
    trust: bool = False,
    warn: Callable[[str], None] = lambda text: None,
    views: Mapping[str, Any] | None = None,
    data_path: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a trained run on a split, add the result to its record, and return the metrics.

    An evaluation on a test set is counted in the ledger.

    Args:
        run: the run to evaluate.
        split: on which split, or on which further test set of its data set, such as "cifar10.1".
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        trust: whether the user's own code may be loaded.
        warn: called with what the user should know.
        views: ``tta_flip`` and ``tta_shift`` instead of the recipe's.
        data_path: where the user's own images are now, if they were moved.

    Raises:
        DataError: if the data set is not the one that the run was trained on, or has no such
            further test set.
        RecipeError: if the images are too small for the views.
        RunError: if the run has no network.
    """
    with lock.writing(run.folder):
        return _evaluate(run, split, data_dir, data_path, trust, warn, views or {})


def _evaluate(
    run: Run,
    split: str,
    data_dir: Path | None,
    data_path: Path | None,
    trust: bool,
    warn: Callable[[str], None],
    views: Mapping[str, Any],
) -> dict[str, Any]:
    if split not in store.SPLITS:
        raise RunError(f"no split is called '{split}'{nearest(split, store.SPLITS)}")
    record = store.read_own_record(run.folder)
    store.check_own(run.folder, record, layout.MODEL, layout.RECIPE)
    recipe = run.recipe
    settings = recipe.evaluation.model_copy(update=views)
    if record.status == "running":
        raise RunError(f"{run.name} was killed during training; `mlplab resume {run.name}` first")
    dataset = data_of(run, data_dir, data_path, warn)
    evaluation.check(settings, dataset.test.images.shape[1:])
    splits = split_as(dataset, recipe)
    second = data.load_second(split, dataset, data_dir) if split == "cifar10.1" else None
    model = judge.fast(load_network(run, trust))
    if split == "test" or (split == "validation" and record.selected_on == "test"):
        record.ledger = ledger.open_test(run.folder.parent, record)
        record.test_openings += 1
    counts = {}
    if second is not None:  # which the ledger counts by itself
        ids = {"data_id": second.data_id, "source_id": second.source_id}
        counts = ledger.open_test(run.folder.parent, record.model_copy(update=ids))
    metrics, predictions = judge.judge(
        run.folder,
        model,
        splits,
        [split],
        settings,
        over_views=[split],
        files=dataset.files,
        second={split: second.test} if second else {},
    )
    if second is not None:
        metrics[split]["ledger"] = counts
    record.metrics = {**record.metrics, **metrics}
    record.label_candidates |= data_checks.label_candidates(dataset, splits, predictions)
    publish_again(run.folder, record, recipe, [layout.predictions(split)])
    return metrics[split]


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one picture.

    Attributes:
        path: the picture's file.
        classes: names, the most probable first.
        probabilities: of these classes.
        error: why the file could not be read; then there are no classes.
        explained: the file of the picture that shows which pixels the prediction rests on.
    """

    path: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str | None = None
    explained: str | None = None


@isolated()
def predict(
    run: Run, paths: Sequence[Path], trust: bool = False, explain: Path | None = None
) -> list[Prediction]:
    """Classify image files of any size and format that Pillow reads.

    Pictures are fitted to the network's input like those of a ``folder`` data set. A file that
    cannot be read gets an ``error``; the others are still classified.

    Args:
        run: the trained run.
        paths: of the pictures, or of folders that contain them at any depth.
        trust: whether the user's own code may be loaded.
        explain: a folder for pictures of what each prediction rests on.

    Raises:
        DataError: if a folder is empty.
        RunError: if the run has no network, or one that cannot be explained.
        StorageError: if the folder cannot be written.
    """
    record = run.record
    store.check_own(run.folder, record, layout.MODEL)
    paths = [picture for path in paths for picture in pictures(path)]
    height, width, channels = record.image_shape
    model = load_network(run, trust)

    def answer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return evaluation.probabilities(model, images)

    shape = (height, width, channels)
    fit = run.recipe.data.fit
    results = _classified(paths, shape, fit, record.class_names, answer)
    if explain is None:
        return results
    with files.storage(str(explain)):
        explain.mkdir(parents=True, exist_ok=True)
    why = explainer(model)
    numbered = enumerate(zip(paths, results, strict=True), start=1)
    return [
        result if result.error else _explained(why, shape, fit, path, result, number, explain)
        for number, (path, result) in numbered
    ]


def predict_exported(folder: Path, paths: Sequence[Path]) -> list[Prediction]:
    """Classify image files as :func:`predict` does, with the network of an exported folder.

    Raises:
        DataError: if a folder of pictures is empty.
        RunError: if the folder is damaged, or ONNX Runtime is not installed.
    """
    network = Exported(folder)
    names, answer = network.class_names, network.probabilities
    found = [picture for path in paths for picture in pictures(path)]
    return _classified(found, network.image_shape, network.fit, names, answer)


def _classified(
    paths: Sequence[Path],
    shape: Shape,
    fit: Fit,
    class_names: Sequence[str],
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> list[Prediction]:
    found = []
    for start in range(0, len(paths), AT_ONCE):
        chosen = paths[start : start + AT_ONCE]
        images = list(read_images(chosen, shape, fit))
        readable = [image for image in images if not isinstance(image, DataError)]
        answers = iter(answer(np.stack(readable)) if readable else ())
        found += [
            Prediction(str(path), error=str(image))
            if isinstance(image, DataError)
            else _prediction(path, next(answers), class_names)
            for path, image in zip(chosen, images, strict=True)
        ]
    return found


def _prediction(
    path: Path, probabilities: NDArray[np.float32], class_names: Sequence[str]
) -> Prediction:
    order = np.argsort(-probabilities, kind="stable")
    classes = tuple(class_names[i] for i in order)
    return Prediction(str(path), classes, tuple(float(probabilities[i]) for i in order))


def _explained(
    why: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    shape: Shape,
    fit: Fit,
    path: Path,
    result: Prediction,
    number: int,
    folder: Path,
) -> Prediction:
    image = read_image(path, shape, fit)
    said = f"{result.classes[0]}, {100 * result.probabilities[0]:.0f} %"
    target = folder / f"{number:03d}-{path.stem}.png"
    with files.storage(str(target)):
        figures.save(figures.saliency(image, why(image), said), target)
    return replace(result, explained=str(target))
