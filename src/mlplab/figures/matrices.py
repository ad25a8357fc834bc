"""Which classes are recognised, and which are confused."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlplab.figures.names import distinct
from mlplab.figures.style import (
    BLUE,
    EMPTY,
    INK,
    MUTED,
    SEQUENTIAL,
    VERMILION,
    new_figure,
    own_settings,
    percent_tick,
    tidy,
    title,
)
from mlplab.statistics.metrics import wilson

NUMBERED = 20  # with more classes, numbers in the cells are too small to read
NAMED = 100  # with more classes, only some names are shown


@own_settings()
def confusion_matrix(matrix: NDArray[np.integer], class_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix, each row in percent of its true class.

    Args:
        matrix: int [classes, classes] of counts, indexed [true, predicted].
        class_names: one name per class.
    """
    classes = len(class_names)
    support = matrix.sum(axis=1, keepdims=True)
    shares = np.where(support > 0, matrix / np.maximum(support, 1), np.nan)
    few = classes <= NUMBERED
    size = min(11.0, max(4.6, 2.2 + (0.5 if few else 0.09) * classes))
    figure = new_figure(size + (0.0 if few else 0.8), size)
    axes = figure.subplots()
    colours = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad=EMPTY)
    # With many classes each kind of mistake is rare: the root keeps it visible.
    norm = Normalize(0, 1) if few else PowerNorm(0.5, 0, 1)
    image = axes.imshow(shares, cmap=colours, norm=norm, interpolation="nearest")
    _names(axes, class_names)
    if few:
        _numbers(axes, shares, fontsize=9 if classes <= 12 else 7)
    axes.set(xlabel="predicted class", ylabel="true class")
    tidy(axes, grid="none")
    axes.tick_params(length=0, labelsize=_font(classes))
    for spine in axes.spines.values():
        spine.set_visible(False)
    title(axes, "Confusion, in percent of the true class")
    if not few:
        bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, format=percent_tick)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=MUTED, labelsize=8, length=0)
    return figure


@own_settings()
def per_class_accuracy(
    recall: Sequence[float | None], support: Sequence[int], class_names: Sequence[str]
) -> Figure:
    """Draw the accuracy of each class (its recall) with 95 % Wilson intervals, best at the top.

    Args:
        recall: share of each class's examples that were recognised; None without examples.
        support: number of examples of each class.
        class_names: one name per class.
    """
    known = [index for index, value in enumerate(recall) if value is not None and support[index]]
    order = sorted(known, key=lambda index: (recall[index], -index))
    shares = np.array([recall[index] for index in order], np.float64)
    counts = [support[index] for index in order]
    rows = np.arange(len(order))
    many = len(order) > NUMBERED
    figure = new_figure(6.4, min(14.0, 1.4 + (0.125 if many else 0.3) * len(order)))
    axes = figure.subplots()
    ends = [wilson(round(share * n), n) for share, n in zip(shares, counts, strict=True)]
    low, high = np.array(ends).reshape(-1, 2).T
    axes.hlines(rows, low, high, color=BLUE, alpha=0.45, linewidth=2.5 if many else 4)
    axes.plot(shares, rows, "o", color=BLUE, markersize=3.5 if many else 6)
    if order:
        mean = float(shares.mean())
        axes.axvline(mean, color=VERMILION, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.text(
            mean,
            len(order) - 0.35,
            f"mean {100 * mean:.0f} %",
            color=VERMILION,
            fontsize=8.5,
            ha="center",
            va="bottom",
        )
    step = _step(len(order))
    names = distinct(class_names)
    axes.set_yticks(rows[::step], [names[i] for i in order][::step], parse_math=False)
    axes.set(xlim=(0, 1), ylim=(-0.7, len(order) - 0.3), xlabel="share recognised")
    axes.xaxis.set_major_formatter(percent_tick)
    tidy(axes, grid="x")
    axes.tick_params(axis="y", length=0, labelsize=_font(len(order)), labelcolor=INK)
    axes.set_title(
        "Accuracy of each class, with 95 % intervals", loc="left", fontsize=11, color=INK, pad=16
    )
    return figure


def _names(axes: Axes, class_names: Sequence[str]) -> None:
    step = _step(len(class_names))
    ticks = range(0, len(class_names), step)
    labels = distinct(class_names, 14)[::step]
    axes.set_xticks(ticks, labels, rotation=90, parse_math=False)
    axes.set_yticks(ticks, labels, parse_math=False)


def _numbers(axes: Axes, shares: NDArray[np.float64], fontsize: float) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=fontsize,
                color="white" if share > 0.55 else INK,
            )


def _step(classes: int) -> int:
    return -(-classes // NAMED)


def _font(classes: int) -> float:
    return 9 if classes <= NUMBERED else 7 if classes <= 50 else 5.5
