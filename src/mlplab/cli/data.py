"""``mlplab data``."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from mlplab.cli.app import AsJson, DataDir, app, err, note, out, path_option, print_json
from mlplab.errors import RecipeError, UserError
from mlplab.recipes.recipe import Augment, DataName

commands = typer.Typer(
    no_args_is_help=True,
    help="The data sets: a picture, facts, download.\n\nExample: mlplab data info digits",
)
app.add_typer(commands, name="data")

Name = Annotated[str, typer.Argument(help=f"{', '.join(get_args(DataName))}.")]
Path_ = Annotated[
    str | None,
    typer.Option(
        "--path",
        metavar="PATH",
        help="Your own images, for the data set 'folder': a folder, a file (.npz, .csv, .parquet)"
        " or hf://owner/name.",
    ),
]
AUGMENTED_ROWS, AUGMENTED_EPOCHS = 6, 8
Size = Annotated[
    int, typer.Option("--image-size", help="Side in pixels that your own images are resized to.")
]


@commands.command()
def show(
    name: Name,
    path: Path_ = None,
    image_size: Size = 32,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            "--augment",
            metavar="KEY=VALUE",
            help="A key of the table augment: show each image as training epochs do. Repeatable.",
        ),
    ] = None,
    output: Annotated[Path | None, path_option("--out", help="File for the picture.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a picture of sample images with their classes, and print its path.

    With --augment each row is an image: as it is, then as the first epochs of training show it.

    Example: mlplab data show cifar10 --augment flip=random --augment shift=4
    """
    settings = _augment(augment)
    dataset = _load(name, path, image_size, data_dir)

    import numpy as np

    from mlplab import figures

    target = output or Path(f"{name}-{'augmented' if augment else 'samples'}.png")
    # Drawn at random: the images of a folder lie class by class.
    order = np.random.default_rng(0).permutation(len(dataset.train))
    if augment:
        figure = _augmented(dataset, settings, order[:AUGMENTED_ROWS])
    else:
        split = dataset.train.take(order[:25])
        figure = figures.sample_grid(split.images, split.labels, dataset.class_names)
    figures.save(figure, target)
    if as_json:
        print_json({"picture": str(target)})
    else:
        out.print(str(target), markup=False)


@commands.command()
def info(
    name: Name,
    path: Path_ = None,
    image_size: Size = 32,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what a data set holds: classes, images by split, identity, unreadable files.

    Example: mlplab data info digits
    """
    from mlplab.data.info import describe

    facts = describe(_load(name, path, image_size, data_dir))
    if as_json:
        print_json(facts)
        return
    out.print(f"[bold]{facts['name']}[/bold], images of {'×'.join(map(str, facts['image_shape']))}")
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for split in facts["splits"]:
        table.add_column(split, justify="right")
    for label in facts["classes"]:
        counts = [str(split["per_class"][label]) for split in facts["splits"].values()]
        table.add_row(label.replace("[", "\\["), *counts)
    table.add_section()
    table.add_row("all", *(f"{split['images']:,}" for split in facts["splits"].values()))
    out.print(table)
    out.print(f"identity {facts['data_id']}")
    for line in facts["skipped"]:
        note(f"unreadable: {line}")
    if repeated := facts["repeated"]:
        names = ", ".join(repeated[:5]) + (", …" if len(repeated) > 5 else "")
        note(f"test images that are also training images ({len(repeated):,}): {names}")


@commands.command()
def clean(
    path: Annotated[str, typer.Argument(help="Your own image files: a folder, or a CSV file.")],
    folds: Annotated[
        Path | None,
        path_option(
            help="The folder that `mlplab train … --folds` wrote: list doubtful labels as well."
        ),
    ] = None,
    output: Annotated[Path, path_option("--out", help="The list to write.")] = Path("clean.csv"),
    as_json: AsJson = False,
) -> None:
    """List files to leave out: unreadable, repeated and nearly equal ones, doubtful labels.

    No file is changed. Look at the list, remove the rows of files to keep, and train with
    data.exclude=clean.csv.

    Example: mlplab data clean photos/ --out clean.csv
    """
    from collections import Counter

    from mlplab import data, recipes
    from mlplab.data import clean as cleaning
    from mlplab.data.similar import SIDE
    from mlplab.report import folds as over_folds

    shape = {"image_size": SIDE, "channels": 1, "fit": "stretch"}
    settings = recipes.validate({"data": {"name": "folder", "path": path, **shape}}).data
    if not Path(path).is_dir() and Path(path).suffix.lower() not in (".csv", ".tsv"):
        raise UserError(f"{path}: expected a folder of image files, or a CSV file that lists them")
    dataset = data.load(settings, None, note)
    if not dataset.digests or any(" row " in name for name in dataset.files["train"][:1]):
        raise UserError(f"{path} holds no image files that could be left out")
    found = cleaning.unreadable(dataset) + cleaning.duplicates(dataset)
    if folds is not None:
        found += cleaning.doubted(over_folds.doubted(folds))
    cleaning.write(found, output)
    if as_json:
        print_json({"list": str(output), "files": [row._asdict() for row in found]})
        return
    counts = Counter(row.reason for row in found)
    for reason in cleaning.REASONS:
        example = next((f", such as {row.file}" for row in found if row.reason == reason), "")
        out.print(f"{reason:15} {counts[reason]:6,}{example}", markup=False)
    out.print(f"list  {output}: train with data.exclude={output}", markup=False)


@commands.command()
def fetch(name: Name, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Download a published data set, continuing an earlier download.

    Example: mlplab data fetch cifar10
    """
    from mlplab.data.fetch import fetch as download

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as display:
        task = display.add_task(name, total=None)

        def progress(done: int, total: int | None) -> None:
            display.update(task, completed=done, total=total)

        archive = download(name, data_dir, progress)
    if as_json:
        print_json({"archive": str(archive)})
    else:
        out.print(str(archive), markup=False)


def _augment(pairs: list[str] | None) -> Augment:
    """Read the pairs KEY=VALUE as the table [augment] of a recipe."""
    from mlplab import recipes

    parsed = [recipes.parse_override(f"augment.{pair}") for pair in pairs or []]
    return recipes.validate(recipes.override({}, parsed)).augment


def _augmented(dataset: Any, settings: Augment, chosen: Any) -> Any:
    """Return the figure of some training images and what the first epochs make of them."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mlplab import figures
    from mlplab.augment import pipeline as augment

    split = dataset.train.take(chosen)
    augment.check(settings, split.images.shape[1:])
    apply = jax.jit(augment.Augmentation(settings, seed=0))
    classes = jnp.eye(len(dataset.class_names))[split.labels]
    rows = jnp.asarray(chosen, jnp.int32)
    epochs = [
        np.asarray(apply(jnp.asarray(split.images), classes, rows, jnp.int32(epoch))[0])
        for epoch in range(AUGMENTED_EPOCHS)
    ]
    return figures.augmented_grid(split.images, np.stack(epochs), split.labels, dataset.class_names)


def _load(name: str, path: str | None, image_size: int, data_dir: Path | None) -> Any:
    from mlplab import data, recipes

    if (name == "folder") != (path is not None):
        raise UserError(
            "the data set 'folder' needs --path, where your images are"
            if path is None
            else f"--path is for the data set 'folder', not for '{name}'"
        )
    table = {"name": name, "image_size": image_size, "path": "none" if path is None else path}
    try:
        settings = recipes.validate({"data": table}).data
    except RecipeError as error:  # which speaks of a recipe's keys
        raise UserError(str(error).replace("data.image_size", "--image-size")) from None
    return data.load(settings, data_dir, note)
