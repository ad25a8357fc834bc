"""What all figures share: their style, and how they are written.

Nothing here touches pyplot or Matplotlib's global settings, so that figures can be drawn in any
thread, without a display, and in a program with its own settings.
"""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mlplab.files import atomic

# Okabe and Ito's palette: distinguishable with all common forms of colour blindness, and in grey.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
INK, MUTED, RULE, EMPTY = "#24292f", "#5b6570", "#d5dae0", "#eef0f2"
SEQUENTIAL = "Blues"
DPI = 110


def new_figure(width: float, height: float, pad: float = 0.09) -> Figure:
    """Return an empty white figure with a canvas that needs no display; sizes in inches."""
    layout = ConstrainedLayoutEngine(w_pad=pad, h_pad=pad)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def title(target: Figure | Axes, text: str) -> None:
    """Set a heading at the left, where reading begins."""
    if isinstance(target, Figure):
        target.suptitle(text, x=0.01, ha="left", fontsize=11, color=INK, parse_math=False)
    else:
        target.set_title(text, loc="left", fontsize=11, color=INK, parse_math=False)


def tidy(axes: Axes, grid: str = "both") -> None:
    """Give axes the common style: no box, small ticks, a faint grid along ``x``, ``y`` or both."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.tick_params(which="both", colors=MUTED, labelcolor=MUTED, labelsize=9, length=3)
    axes.xaxis.label.set(color=MUTED, fontsize=9.5)
    axes.yaxis.label.set(color=MUTED, fontsize=9.5)
    axes.set_axisbelow(True)
    if grid != "none":
        axes.grid(axis=grid, color=RULE, linewidth=0.6, alpha=0.7)  # type: ignore[arg-type]


def legend(axes: Axes, **options: Any) -> None:
    """Show a legend without a frame."""
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, **options)


def percent_tick(share: float, _place: float | None = None) -> str:
    """Return a share as a tick's label: ``0.125`` is ``12.5 %``."""
    return f"{100 * share:.4g} %"


def shortened(name: str, limit: int = 18) -> str:
    """Return a class name cut to at most ``limit`` characters and to one line."""
    line = " ".join(name.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; a crash leaves the old file or none, never part of one.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    with atomic(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
