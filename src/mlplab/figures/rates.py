"""The picture of a learning-rate range test."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlplab.figures.style import (
    BLUE,
    MUTED,
    VERMILION,
    legend,
    new_figure,
    own_settings,
    tidy,
    title,
)


@own_settings()
def range_test(
    rates: NDArray[np.float64],
    losses: NDArray[np.float64],
    smoothed: NDArray[np.float64],
    suggestion: float | None,
) -> Figure:
    """Draw the loss against the learning rate; all arrays float64 [steps]."""
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=MUTED, alpha=0.35, linewidth=1, label="each batch")
    axes.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color=VERMILION, linewidth=1.5, linestyle="--",
                     label=f"suggestion: {suggestion:g}")  # fmt: skip
    finite = smoothed[np.isfinite(smoothed)]
    if len(finite):
        spread = max(finite[0] - finite.min(), 0.1)
        axes.set_ylim(finite.min() - 0.3 * spread, finite[0] + 0.7 * spread)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    title(axes, "Learning-rate range test")
    tidy(axes)
    legend(axes, loc="upper left")
    return figure
