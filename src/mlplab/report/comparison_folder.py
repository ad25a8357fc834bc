"""A comparison as a folder: Markdown, accuracy against cost, and images on which sides differ."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlplab import figures, files
from mlplab.report import comparison_tables
from mlplab.report.comparison import Comparison
from mlplab.report.configurations import Side
from mlplab.report.disagreement import Disagreement, disagreement
from mlplab.report.ranking import Entry

Images = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""From positions in the published split, int64 [n], to images, uint8 [n, height, width, c]."""

PICTURES = 12
PAGE = "README.md"


def write(found: Comparison, sides: Sequence[Side], folder: Path, images: Images) -> Path:
    """Write a comparison's page and pictures into a folder; return the page's path.

    Args:
        found: result of :func:`mlplab.report.comparison.compare`.
        sides: the configurations that were compared.
        folder: created if it is missing; existing files of the same names are replaced.
        images: of the split on which differences are taken.

    Raises:
        RunError: if predictions are missing.
        StorageError: if the folder cannot be written.
    """
    by_name = {side.name: side for side in sides}
    reference = by_name[found.reference]
    class_names = next(iter(reference.records.values())).class_names
    with files.storage(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    points = [_point(entry, found.split) for entry in found.entries]
    figures.save(figures.pareto(points), folder / "pareto.png")
    parts = [
        comparison_tables.markdown(found),
        "\n![Accuracy against seconds, parameters and operations](pareto.png)\n",
    ]
    for number, pairing in enumerate(found.pairings, start=1):
        apart = disagreement(by_name[pairing.first], reference, found.split)
        names = [f"right-alone-{number}{letter}.png" for letter in "ab"]
        for name, order in zip(names, (apart, apart.turned()), strict=True):
            _draw(order, images, class_names, folder / name)
        parts.append(_section(apart, class_names, names))
    page = folder / PAGE
    files.write_text(page, "\n".join(parts))
    return page


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


def _draw(apart: Disagreement, images: Images, class_names: Sequence[str], path: Path) -> None:
    places = apart.only_first()[:PICTURES]
    figure = figures.disagreements(
        images(apart.index[places]),
        apart.labels[places],
        apart.said[1][places],
        (apart.first, apart.second),
        class_names,
    )
    figures.save(figure, path)


def _section(apart: Disagreement, class_names: Sequence[str], pictures: Sequence[str]) -> str:
    counts = apart.counts(len(class_names))
    lines = [
        f"## {apart.first} and {apart.second}, image by image",
        "",
        "An image counts as right if more than half of the runs get it right.",
        "",
        f"| class | both | only {apart.first} | only {apart.second} | neither |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{count:,}" for count in row) + " |"
        for name, row in zip(class_names, counts.tolist(), strict=True)
    ]
    total = " | ".join(f"{count:,}" for count in counts.sum(axis=0).tolist())
    lines += [f"| all | {total} |", ""]
    for side, picture in zip((apart.first, apart.second), pictures, strict=True):
        lines += [f"![Images that only {side} gets right]({picture})", ""]
    return "\n".join(lines)
