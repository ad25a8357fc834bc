"""Pictures: the images of a network, its mistakes, and its weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mlplab.figures.names import distinct
from mlplab.figures.style import INK, MUTED, VERMILION, new_figure, own_settings, title
from mlplab.figures.tiles import tiled, weight_image
from mlplab.statistics.metrics import predicted_classes

GAP = 0.05  # inches around each picture of a grid
LINE = 1 / 6  # inches of a line of text beneath a picture
HEADING: dict[str, Any] = {"fontsize": 11, "color": INK, "parse_math": False}
CAPTION: dict[str, Any] = {"fontsize": 8.5, "parse_math": False}

Lines = list[tuple[str, str]]
"""Lines of text beneath a picture, each with its colour."""


@own_settings()
def sample_grid(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    class_names: Sequence[str],
    rows: int = 5,
    columns: int = 5,
) -> Figure:
    """Draw the first images of an array with their classes beneath them.

    Args:
        images: uint8 [n, height, width, channels], 1 or 3 channels; the first rows * columns are
            drawn.
        labels: int [n].
        class_names: one name per class.
        rows: maximum number of rows.
        columns: number of columns.
    """
    names = distinct(class_names)
    shown = images[: rows * columns]
    captions = [[(names[int(label)], INK)] for label in np.asarray(labels)[: len(shown)]]
    return _grid(shown, captions, columns, 1.35)


@own_settings()
def augmented_grid(
    images: NDArray[np.uint8],
    augmented: NDArray[np.uint8],
    labels: ArrayLike,
    class_names: Sequence[str],
) -> Figure:
    """Draw a row for each image: as it is, with its class, then as augmented in each epoch.

    Args:
        images: uint8 [n, height, width, channels], 1 or 3 channels.
        augmented: uint8 [epochs, n, height, width, channels].
        labels: int [n].
        class_names: one name per class.
    """
    names = distinct(class_names)
    shown: list[NDArray[np.uint8]] = []
    captions: list[Lines] = []
    for image, own, label in zip(images, augmented.swapaxes(0, 1), np.asarray(labels), strict=True):
        shown += [image, *own]
        captions.append([(names[label], INK)])
        captions += [[(f"epoch {epoch + 1}", INK)] for epoch in range(len(own))]
    return _grid(shown, captions, 1 + len(augmented), 1.15)


@own_settings()
def confident_mistakes(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
    count: int = 16,
) -> Figure:
    """Draw the wrong predictions that were made with the highest probability, the worst first.

    Args:
        images: uint8 [n, height, width, channels], 1 or 3 channels.
        labels: int [n], the true classes.
        probabilities: float [n, classes].
        class_names: one name per class.
        count: maximum number of images.
    """
    worst = mistakes(probabilities, labels)[:count]
    if not len(worst):
        return sentence("No mistakes: every image was recognised.")
    truth, predicted = np.asarray(labels), predicted_classes(probabilities)
    names = distinct(class_names, 14)
    said = [f"{names[predicted[i]]} ({100 * probabilities[i, predicted[i]]:.0f} %)" for i in worst]
    columns = max(2, round(np.sqrt(count)))
    true = [names[label] for label in truth[worst]]
    return wrong_answers(images[worst], true, said, "Most confident mistakes", columns)


@own_settings()
def wrong_answers(
    images: NDArray[np.uint8],
    true: Sequence[str],
    said: Sequence[str],
    heading: str,
    columns: int,
) -> Figure:
    """Draw images with their true classes and their predictions.

    Args:
        images: uint8 [n, height, width, channels], at least one.
        true: their classes.
        said: their predictions.
        heading: of the figure.
        columns: maximum number of columns.
    """
    columns = min(len(images), columns)
    captions = [
        [(f"is {name}", INK), (f"predicted {answer}", VERMILION)]
        for name, answer in zip(true, said, strict=True)
    ]
    return _grid(images, captions, columns, 1.75, heading)


def mistakes(probabilities: NDArray[np.floating], labels: ArrayLike) -> NDArray[np.int64]:
    """Return the indices of the wrong predictions, int64, the most confident first."""
    wrong = np.flatnonzero(predicted_classes(probabilities) != np.asarray(labels))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


@own_settings()
def weights(kernel: NDArray[np.floating], image_shape: Sequence[int], count: int = 64) -> Figure:
    """Draw what the units of the first layer look for: their weights in the image's shape.

    Each picture is scaled separately, symmetrically about zero, which is mid-grey in colour images
    and white in grey ones (where blue is negative and red positive).

    Args:
        kernel: float [inputs, units], the first dense layer's kernel.
        image_shape: (height, width, channels) with inputs = height * width * channels.
        count: how many units are drawn: those with the largest norms, the largest first.

    Raises:
        ValueError: if the kernel does not fit the image shape.
    """
    if kernel.ndim != 2 or kernel.shape[0] != int(np.prod(image_shape)):
        raise ValueError(f"kernel {kernel.shape}: expected [{np.prod(image_shape)}, units]")
    norms = np.linalg.norm(np.nan_to_num(kernel), axis=0)
    chosen = np.argsort(-norms, kind="stable")[:count]
    columns = min(len(chosen), max(1, round(np.sqrt(count))))
    rows = -(-len(chosen) // columns)
    figure = new_figure(max(4.4, 0.8 * columns), 0.8 * rows + 0.5, pad=GAP)
    title(figure, f"First-layer weights of {len(chosen)} of {kernel.shape[1]} units, by norm")
    pictures = [weight_image(kernel[:, unit].reshape(tuple(image_shape))) for unit in chosen]
    axes = figure.subplots()
    axes.set_axis_off()
    _picture(axes, tiled(pictures, columns))
    return figure


def _grid(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    captions: Sequence[Lines],
    columns: int,
    width: float,
    heading: str = "",
) -> Figure:
    """Draw images row by row, each with lines of text beneath it.

    All are in one pair of axes: a pair for each image would take most of the time of a figure.

    Args:
        images: uint8 [height, width, channels] each.
        captions: the lines beneath each.
        columns: number of columns.
        width: of a column in inches.
        heading: of the figure.
    """
    side = width - 2 * GAP
    height = side + LINE * max(map(len, captions), default=0) + 3 * GAP
    head = 0.4 if heading else 0.0
    rows = -(-len(images) // columns)
    size = max(width * columns, 3.4 if heading else 0), head + height * rows
    figure = new_figure(*size)
    figure.set_layout_engine("none")
    if heading:
        figure.text(0.1 / size[0], 1 - 0.1 / size[1], heading, va="top", **HEADING)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for place, (image, lines) in enumerate(zip(images, captions, strict=True)):
        middle = width * (place % columns + 0.5)
        top = head + height * (place // columns) + GAP
        high, wide = (side * length / max(image.shape[:2]) for length in image.shape[:2])
        _picture(axes, image, (middle - wide / 2, middle + wide / 2, top + high, top))
        for line, (text, colour) in enumerate(lines):
            under = top + high + GAP + LINE * line
            axes.text(middle, under, text, ha="center", va="top", color=colour, **CAPTION)
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")  # inches from the top left
    return figure


def _picture(
    axes: Axes, image: NDArray[np.uint8], extent: tuple[float, float, float, float] | None = None
) -> None:
    # Pixels are not interpolated: a smoothed picture is not what the network receives.
    shown = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(shown, "gray", vmin=0, vmax=255, interpolation="nearest", extent=extent)


@own_settings()
def sentence(text: str) -> Figure:
    """Return a figure of only text, for when there is nothing to draw."""
    figure = new_figure(5, 3)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=MUTED)
    return figure
