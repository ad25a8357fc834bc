"""Lines and points: the course of training, and the calibration of probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mlplab.figures.style import (
    BLUE,
    GREEN,
    MUTED,
    RULE,
    VERMILION,
    legend,
    new_figure,
    own_settings,
    percent_tick,
    tidy,
    title,
)
from mlplab.statistics.metrics import calibration_error, reliability, wilson

LOG_RATIO = 100  # a loss that spans more than two decades is unreadable on a linear axis


@own_settings()
def curves(history: Mapping[str, Sequence[float | None]], best_epoch: int | None) -> Figure:
    """Draw loss, accuracy and, if it varied, the learning rate against the epoch.

    Args:
        history: by name (``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``,
            ``learning_rate``), one value per epoch; None and values that are not finite leave a
            gap, and a missing name leaves out its line.
        best_epoch: the epoch, counted from 1, whose weights were kept; it is marked.
    """
    series = {name: _finite(values) for name, values in history.items()}
    rate = series.get("learning_rate")
    panels = 3 if rate is not None and len(np.unique(rate[np.isfinite(rate)])) > 1 else 2
    figure = new_figure(4.6 * panels, 3.7)
    all_axes = figure.subplots(1, panels)
    for axes, name, label in zip(
        all_axes, ("loss", "accuracy"), ("Loss", "Accuracy"), strict=False
    ):
        _pair(axes, series.get(name), series.get(f"val_{name}"), best_epoch)
        title(axes, label)
    _loss_scale(all_axes[0], (series.get("loss"), series.get("val_loss")))
    all_axes[1].yaxis.set_major_formatter(percent_tick)
    legend(all_axes[0])
    if panels == 3 and rate is not None:
        _line(all_axes[2], rate, GREEN, "learning rate")
        _epochs(all_axes[2], best_epoch)
        if rate[np.isfinite(rate)].min() > 0:
            all_axes[2].set_yscale("log")
        title(all_axes[2], "Learning rate")
    return figure


@own_settings()
def calibration(probabilities: NDArray[np.floating], labels: ArrayLike) -> Figure:
    """Draw a reliability diagram: accuracy against confidence, above their distribution.

    Args:
        probabilities: float [n, classes].
        labels: int [n], the true classes.

    Raises:
        ValueError: if the two do not match.
    """
    confidence, accuracy, counts = reliability(probabilities, labels)
    figure = new_figure(5.2, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="ideal")
    filled = counts > 0
    ends = np.array(
        [
            wilson(round(a * n), int(n))
            for a, n in zip(accuracy[filled], counts[filled], strict=True)
        ]
    )
    above.vlines(confidence[filled], ends[:, 0], ends[:, 1], color=BLUE, linewidth=1.2, alpha=0.6)
    above.plot(confidence[filled], accuracy[filled], "o", color=BLUE, label="measured, with 95 %")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    error = calibration_error(probabilities, labels)
    known = f"error {100 * error:.1f} points" if np.isfinite(error) else "unknown: NaN predicted"
    title(above, f"Calibration {known}")
    edges = np.linspace(0, 1, len(counts) + 1)
    below.bar(
        edges[:-1],
        counts / counts.sum(),
        width=edges[1],
        align="edge",
        color=BLUE,
        edgecolor="white",
        linewidth=0.8,
    )
    below.set(xlabel="probability of the predicted class", ylabel="share")
    for axis in (above.xaxis, above.yaxis, below.yaxis):
        axis.set_major_formatter(percent_tick)
    tidy(above)
    tidy(below, grid="y")
    legend(above, loc="upper left")
    return figure


def _pair(
    axes: Axes,
    train: NDArray[np.float64] | None,
    validation: NDArray[np.float64] | None,
    best_epoch: int | None,
) -> None:
    if train is not None:
        _line(axes, train, BLUE, "training")
    if validation is not None:
        _line(axes, validation, VERMILION, "validation")
        if best_epoch is not None and 1 <= best_epoch <= len(validation):
            axes.plot(
                best_epoch,
                validation[best_epoch - 1],
                "o",
                markersize=8,
                markerfacecolor="white",
                markeredgecolor=VERMILION,
                markeredgewidth=2,
                zorder=4,
                label=f"best epoch ({best_epoch})",
            )
    _epochs(axes, best_epoch)


def _line(axes: Axes, values: NDArray[np.float64], colour: str, label: str) -> None:
    # Few epochs are shown as points too: a single one would otherwise be invisible.
    marker = "o" if len(values) <= 30 else None
    epochs = np.arange(1, len(values) + 1)
    axes.plot(
        epochs, values, color=colour, linewidth=1.8, marker=marker, markersize=3.5, label=label
    )


def _epochs(axes: Axes, best_epoch: int | None) -> None:
    if best_epoch is not None:
        axes.axvline(best_epoch, color=RULE, linewidth=1.2, zorder=1)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    tidy(axes)


def _loss_scale(axes: Axes, losses: Sequence[NDArray[np.float64] | None]) -> None:
    values = np.concatenate([np.empty(0), *(loss for loss in losses if loss is not None)])
    values = values[np.isfinite(values) & (values > 0)]
    if values.size and values.max() > LOG_RATIO * values.min():
        axes.set_yscale("log")
        axes.set_ylabel("logarithmic")


def _finite(values: Sequence[float | None]) -> NDArray[np.float64]:
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
