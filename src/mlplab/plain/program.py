"""A run as one Python program of plain Keras, written out for people to read."""

from pathlib import Path

from mlplab import files
from mlplab.data.layout import understand
from mlplab.data.trees import class_name, scan
from mlplab.errors import RunError
from mlplab.plain import fitting, images, judged, networks, optimization, refusals
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block
from mlplab.report import formatting
from mlplab.runs import store
from mlplab.runs.run import Run

TITLES = ("The images", "The network", "Its optimizer and its loss", "Training", "Results")


def write(run: Run, path: Path) -> Path:
    """Write the program of a run.

    Args:
        run: the run.
        path: the file to create.

    Returns:
        The path.

    Raises:
        RunError: if the file exists, or the run has a part that plain Keras does not have.
        StorageError: if the file cannot be written.
    """
    if path.exists():
        raise RunError(f"{path} already exists; choose another path (out)")
    files.write_text(path, program(of_run(run)))
    return path


def of_run(run: Run) -> Facts:
    """Return what the program of a run is written from.

    Raises:
        RunError: if the run has a part that plain Keras does not have, or the folder of its images
            is not there.
    """
    record, recipe = store.read_own_record(run.folder), run.recipe
    refusals.check(recipe, len(record.rewinds))
    height, width, channels = record.image_shape
    folders: dict[str, str] = {}
    names: tuple[str, ...] = ()
    root = Path(recipe.data.path or "")
    if recipe.data.path is not None:
        if not root.is_dir():
            raise RunError(
                f"{run.name} was trained on the images in {root}, and there is no such folder here"
            )
        found = understand(root).folders
        folders = {role: folder.relative_to(root).as_posix() for role, folder in found.items()}
        names = scan(found["train"], set(map(class_name, recipe.data.classes))).class_names
    return Facts(
        name=run.name,
        recipe=recipe,
        image_shape=(height, width, channels),
        class_names=tuple(record.class_names),
        metrics=record.metrics,
        folders=folders,
        root=root,
        folder_names=names,
    )


def program(facts: Facts) -> str:
    """Return the source of a program that trains a network as a run did.

    Args:
        facts: of the run.
    """
    recipe = facts.recipe
    parts = [
        images.images(facts),
        networks.network(facts),
        optimization.compiled(facts),
        fitting.fitted(facts),
        judged.measured(facts),
    ]
    constants = block(
        images.constants(facts),
        f"SEED = {recipe.seed}",
        f"EPOCHS = {recipe.training.epochs}",
        f"BATCH_SIZE = {recipe.training.batch_size}",
        f"SHIFT = {recipe.evaluation.tta_shift}" if recipe.evaluation.tta_shift else "",
    )
    definitions = list(dict.fromkeys(text for part in parts for text in part.definitions))
    head = block(_imports(parts))
    titled = (f"# {title}\n\n{part.code}" for title, part in zip(TITLES, parts, strict=True))
    body = "\n\n".join(["keras.utils.set_random_seed(SEED)", *titled])
    sections = [f"{_docstring(facts)}\n\n{head}\n\n{constants}", *definitions, body]
    return "\n\n\n".join(sections) + "\n"


def _docstring(facts: Facts) -> str:
    lines = [
        f'"""Trains the network of the run {_plain(facts.name)} with plain Keras.',
        "",
        "It needs Keras 3 and NumPy. Keras runs on TensorFlow, or on what the environment variable",
        "KERAS_BACKEND says: jax or torch.",
        "Images, splits, network and training are those of the run, but initial weights,",
        "dropout and the order of the images are drawn from other random generators: results",
        "differ as those of two seeds do.",
    ]
    if facts.recipe.data.name == "folder":
        lines.append("JPEG images may be decoded to slightly different pixels.")
    reached = [
        f"    {name}: {formatting.percent(metrics['accuracy'])}"
        for name, metrics in facts.metrics.items()
        if name != "validation" or facts.recipe.data.validation != "test"
    ]
    if reached:
        lines += ["", "Accuracy of the run:", "", *reached]
    return "\n".join([*lines, '"""'])


def _plain(name: str) -> str:
    return name.replace("\\", "/").replace('"', "'")


def _imports(parts: list[Part]) -> str:
    lines = {line for part in parts for line in part.imports}
    ours = sorted(lines & {"import math", "import importlib.util", "from pathlib import Path"})
    standard = sorted(ours, key=lambda line: (line.startswith("from"), line))
    plain = ["import keras", "import numpy as np"]
    others = sorted(lines - set(ours))
    third = [*plain, *others, "from keras import layers"]
    third = [*plain, *sorted(third[2:], key=lambda line: line.lower())]
    return "\n".join([*standard, *([""] if standard else []), *third])
