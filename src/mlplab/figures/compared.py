"""Comparison of configurations: what they cost, and where they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter
from numpy.typing import ArrayLike, NDArray

from mlplab.figures.charts import COLOURS, MARKERS
from mlplab.figures.images import sentence, wrong_answers
from mlplab.figures.names import distinct
from mlplab.figures.style import new_figure, own_settings, percent_tick, tidy, title

WIDE = 30
"""Ratio of costs from which an axis has ticks only at powers of ten."""
COSTS = {
    "seconds": "seconds of training",
    "parameters": "parameters",
    "training_flops": "operations of training",
}


@own_settings()
def pareto(points: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy against what it costs: seconds, parameters, operations.

    Args:
        points: of each configuration ``name``, ``mean``, ``low`` and ``high`` accuracy, ``cost``
            (by the keys of ``COSTS``).
    """
    figure = new_figure(10.5, 3.9)
    title(figure, "Accuracy against cost")
    panels = figure.subplots(1, len(COSTS), sharey=True)
    names = distinct([point["name"] for point in points], 24, "configuration")
    for axes, (key, label) in zip(panels, COSTS.items(), strict=True):
        for number, point in enumerate(points):
            turn, place = divmod(number, len(COLOURS))
            mean = point["mean"]
            axes.errorbar(
                point["cost"][key],
                mean,
                [[mean - point["low"]], [point["high"] - mean]],
                fmt=MARKERS[turn % len(MARKERS)],
                color=COLOURS[place],
                capsize=2,
                label=names[number],
            )
        axes.set_xscale("log")
        costs = [point["cost"][key] for point in points]
        narrow = max(costs) < WIDE * min(costs)
        if narrow:  # ticks within a decade would overlap
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xticks(sorted({min(costs), max(costs)}), minor=False)
        axes.xaxis.set_major_formatter(EngFormatter(places=1 if narrow else None, sep=""))
        axes.set_xlabel(label)
        axes.yaxis.set_major_formatter(percent_tick)
        tidy(axes)
    panels[0].set_ylabel("accuracy")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside right center",
        frameon=False,
        fontsize=9,
    )
    return figure


@own_settings()
def disagreements(
    images: NDArray[np.uint8],
    labels: ArrayLike,
    said: ArrayLike,
    names: tuple[str, str],
    class_names: Sequence[str],
) -> Figure:
    """Draw images that the first configuration gets right and the second does not.

    Args:
        images: uint8 [n, height, width, channels].
        labels: int [n].
        said: int [n], predictions of the second.
        names: of both.
        class_names: one name per class.
    """
    truth, wrong = np.asarray(labels), np.asarray(said)
    first, second = distinct(names, 30, "configuration")
    if not len(images):
        return sentence(f"No images that {first} gets right and {second} does not.")
    shown = distinct(class_names, 14)
    return wrong_answers(
        images,
        [shown[label] for label in truth],
        [shown[label] for label in wrong],
        f"Right by {first}, not by {second}",
        columns=6,
    )
