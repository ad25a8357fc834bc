"""A comparison as a folder: Markdown, accuracy against cost, and where sides differ."""

from collections.abc import Sequence
from pathlib import Path

from mlplab import data, figures, files, recipes
from mlplab.data import Dataset
from mlplab.errors import RunError
from mlplab.report import tables
from mlplab.report.comparison import Comparison
from mlplab.report.disagreement import Disagreement, disagreement
from mlplab.report.ranking import Entry
from mlplab.report.sides import Side

PICTURES = 12
PAGE = "README.md"


def write(found: Comparison, sides: Sequence[Side], folder: Path, data_dir: Path | None) -> Path:
    """Write a comparison's page and pictures into a folder; return the page's path.

    Args:
        found: of :func:`mlplab.report.comparison.compare`.
        sides: that were compared.
        folder: made if it is not there; files of these names are written anew.
        data_dir: a folder that holds the data set's, for the pictures.

    Raises:
        DataError: if the images that were measured on are not found.
        RunError: if predictions are missing.
        StorageError: if the folder cannot be written.
    """
    by_name = {side.name: side for side in sides}
    reference = by_name[found.reference]
    dataset = _images(reference, data_dir)
    with files.storage(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    points = [_point(entry, found.split) for entry in found.entries]
    figures.save(figures.pareto(points), folder / "pareto.png")
    parts = [
        tables.markdown(found),
        "\n![Accuracy against seconds, parameters and operations](pareto.png)\n",
    ]
    for number, pairing in enumerate(found.pairings, start=1):
        apart = disagreement(by_name[pairing.first], reference, found.split)
        names = [f"right-alone-{number}{letter}.png" for letter in "ab"]
        for name, order in zip(names, (apart, apart.turned()), strict=True):
            _draw(order, dataset, found.split, folder / name)
        parts.append(_section(apart, dataset.class_names, names))
    page = folder / PAGE
    files.write_text(page, "\n".join(parts))
    return page


def _images(side: Side, data_dir: Path | None) -> Dataset:
    seed, folder = next(iter(side.folders.items()))
    record = side.records[seed]
    settings = recipes.load(str(folder / "recipe.toml")).data
    dataset = data.load(settings, data_dir, lambda text: None)
    if dataset.data_id != record.data_id:
        raise RunError(
            f"the data set {record.data} found here is not the one that {side.name} was"
            " measured on; point --data-dir at that one"
        )
    return dataset


def _point(entry: Entry, split: str) -> dict[str, object]:
    seen = entry.accuracy[split]
    values = list(seen["values"].values())
    low, high = (seen["low"], seen["high"]) if len(values) == 1 else (min(values), max(values))
    return {
        "name": entry.name,
        "mean": seen["mean"],
        "low": low,
        "high": high,
        "cost": entry.cost,
    }


def _draw(apart: Disagreement, dataset: Dataset, split: str, path: Path) -> None:
    places = apart.only_first()[:PICTURES]
    source = dataset.test if split == "test" else dataset.train
    order = source.index.argsort()
    rows = order[source.index[order].searchsorted(apart.index[places])]
    figures.save(
        figures.disagreements(
            source.images[rows],
            apart.labels[places],
            apart.said[1][places],
            (apart.first, apart.second),
            dataset.class_names,
        ),
        path,
    )


def _section(apart: Disagreement, class_names: Sequence[str], pictures: Sequence[str]) -> str:
    counts = apart.counts(len(class_names))
    lines = [
        f"## {apart.first} and {apart.second}, image by image",
        "",
        "An image counts as right where more than half of the runs have it right.",
        "",
        f"| class | both | {apart.first} alone | {apart.second} alone | neither |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{count:,}" for count in row) + " |"
        for name, row in zip(class_names, counts.tolist(), strict=True)
    ]
    total = " | ".join(f"{count:,}" for count in counts.sum(axis=0).tolist())
    lines += [f"| all | {total} |", ""]
    for side, picture in zip((apart.first, apart.second), pictures, strict=True):
        lines += [f"![Right by {side} alone]({picture})", ""]
    return "\n".join(lines)
