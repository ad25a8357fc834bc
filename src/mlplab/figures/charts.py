"""A study's charts as pictures, for print and Markdown; those of its page are interactive."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlplab.figures.style import legend, new_figure, own_settings, percent_tick, tidy, title

# The colours of the page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6bb1", "#7f7f00")
DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "^")


@own_settings()
def chart(numbers: Mapping[str, Any]) -> Figure:
    """Draw a chart as :mod:`mlplab.report.charts` describes it."""
    figure = new_figure(7.6, 4.2)
    axes = figure.add_subplot()
    for one in numbers["series"]:
        turn, place = divmod(one["place"], len(COLOURS))
        colour, turn = COLOURS[place], turn % len(DASHES)
        if numbers["kind"] == "points":
            axes.plot(one["x"], one["y"], MARKERS[turn], color=colour, label=one["name"])
            continue
        style = "steps-post" if numbers["kind"] == "steps" else "default"
        axes.plot(one["x"], one["y"], DASHES[turn], color=colour, linewidth=1.8,
                  drawstyle=style, label=one["name"])  # fmt: skip
        if "low" in one:
            axes.fill_between(one["x"], one["low"], one["high"], color=colour, alpha=0.12, lw=0)
    if numbers["log"]:
        axes.set_xscale("log")
    elif numbers["kind"] != "points":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if numbers["percent"]:
        axes.yaxis.set_major_formatter(percent_tick)
    axes.set_xlabel(numbers["x"])
    axes.set_ylabel(numbers["y"])
    title(axes, numbers["title"])
    tidy(axes)
    legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
