"""What all figures share: their settings and style, and how they are written.

Figures are drawn under Matplotlib's defaults, whatever the user's ``matplotlibrc``, style sheet or
program has set, and without pyplot, so in any thread and without a display.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mlplab.figures import fonts
from mlplab.files import atomic

# Okabe and Ito's palette: distinguishable with all common forms of colour blindness, and in grey.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
INK, MUTED, RULE, EMPTY = "#24292f", "#5b6570", "#d5dae0", "#eef0f2"
SEQUENTIAL = "Blues"
DPI = 110

_settings = threading.RLock()


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw under Matplotlib's defaults; afterwards the user's settings are as they were.

    Also a decorator, for functions that make a figure. One thread draws at a time: the settings
    belong to the process.
    """
    with _settings, matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


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


@own_settings()
def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    fonts.prepare(figure)
    written = BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; a crash leaves the old file or none, never part of one.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    drawn = png(figure)
    with atomic(path) as file:
        file.write(drawn)
