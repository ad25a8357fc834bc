"""Pictures: the images of a network, its mistakes, and its weights."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mlplab.figures.names import distinct
from mlplab.figures.style import INK, MUTED, VERMILION, new_figure, own_settings, title
from mlplab.figures.tiles import tiled, weight_image
from mlplab.statistics.metrics import predicted_classes

GAP = 0.05  # inches around each picture of a grid


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
            drawn, and places beyond the last image stay empty.
        labels: int [n].
        class_names: one name per class.
        rows: number of rows.
        columns: number of columns.
    """
    figure = new_figure(1.35 * columns, 1.55 * rows, pad=GAP)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    names = distinct(class_names)
    for axes, image, label in zip(grid, images, np.asarray(labels), strict=False):
        _picture(axes, image, names[int(label)])
    return figure


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
    rows, columns = len(images), 1 + len(augmented)
    figure = new_figure(1.15 * columns, 1.35 * rows, pad=GAP)
    grid = figure.subplots(rows, columns, squeeze=False)
    names = distinct(class_names)
    for row, label in enumerate(np.asarray(labels)):
        for axes in grid[row]:
            axes.set_axis_off()
        _picture(grid[row, 0], images[row], names[int(label)])
        for epoch, axes in enumerate(grid[row, 1:]):
            _picture(axes, augmented[epoch, row], f"epoch {epoch + 1}")
    return figure


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
    rows = -(-len(images) // columns)
    figure = new_figure(max(3.4, 1.75 * columns), 2.05 * rows + 0.4, pad=GAP)
    title(figure, heading)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, name, answer in zip(grid, images, true, said, strict=False):
        _picture(axes, image, f"is {name}")
        _caption(axes, f"predicted {answer}", line=1, colour=VERMILION)
    return figure


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


def _picture(axes: Axes, image: NDArray[np.uint8], text: str = "") -> None:
    # Pixels are not interpolated: a smoothed picture is not what the network receives.
    shown = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if text:
        _caption(axes, text, line=0, colour=INK)


def _caption(axes: Axes, text: str, line: int, colour: str) -> None:
    axes.annotate(
        text,
        (0.5, 0),
        xytext=(0, -4 - 12 * line),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8.5,
        color=colour,
        parse_math=False,
    )


@own_settings()
def sentence(text: str) -> Figure:
    """Return a figure of only text, for when there is nothing to draw."""
    figure = new_figure(5, 3)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=MUTED)
    return figure
