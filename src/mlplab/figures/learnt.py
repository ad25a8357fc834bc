"""Figures of what a network has learnt: receptive fields, sensitivity, and saliency."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlplab.figures.style import (
    BLUE,
    GREEN,
    MUTED,
    VERMILION,
    legend,
    new_figure,
    own_settings,
    percent_tick,
    tidy,
    title,
)

MAPS = 32  # receptive fields drawn
COLUMNS = 8


@own_settings()
def receptive_fields(
    energy: NDArray[np.floating],
    spread: NDArray[np.floating],
    history: Mapping[str, Sequence[float | None]],
) -> Figure:
    """Draw where units look, how local they are, and how they became so.

    Args:
        energy: float [units, height, width], shares of a unit's squared weights.
        spread: float [units], 1 for energy spread evenly; NaN for units whose weights are all 0.
        history: ``local_share`` and ``field_spread``, one value per epoch, if known.
    """
    order = np.argsort(np.nan_to_num(spread, nan=np.inf), kind="stable")
    order = order[: int(np.isfinite(spread).sum())]
    # Evenly spaced, from the most local unit to the least.
    chosen = order[np.linspace(0, len(order) - 1, min(MAPS, len(order))).astype(int)]
    known = {key: [v for v in history.get(key, []) if v is not None] for key in _LINES}
    panels = 3 if len(known["field_spread"]) > 1 else 2
    figure = new_figure(4.6 * panels, 3.7)
    axes = figure.subplots(1, panels)
    axes[0].set_axis_off()
    axes[0].imshow(_tiled([energy[unit] for unit in chosen]), cmap="magma", vmin=0, vmax=1)
    title(axes[0], f"Where {len(chosen)} units look, most local first")
    axes[1].hist(spread[order], bins=np.linspace(0, 1.3, 53), color=BLUE)
    axes[1].axvline(0.5, color=VERMILION, linewidth=1, label="a square of half the side")
    axes[1].axvline(1.0, color=MUTED, linewidth=1, linestyle="--", label="the whole image evenly")
    axes[1].set(xlabel="spread of a unit's weights", ylabel="units")
    title(axes[1], "How local they are")
    tidy(axes[1], "y")
    legend(axes[1])
    if panels == 3:
        for key, (label, colour) in _LINES.items():
            epochs = np.arange(1, len(known[key]) + 1)
            axes[2].plot(epochs, known[key], color=colour, label=label)
        axes[2].set(xlabel="epoch", ylim=(0, None))
        axes[2].xaxis.get_major_locator().set_params(integer=True)
        title(axes[2], "During training")
        tidy(axes[2])
        legend(axes[2])
    return figure


_LINES = {
    "local_share": ("share of local units", BLUE),
    "field_spread": ("median spread", GREEN),
}


def _tiled(maps: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    """Return maps as one picture, each scaled to its own maximum, with gaps."""
    if not maps:
        return np.zeros((1, 1))
    height, width = maps[0].shape[0] + 1, maps[0].shape[1] + 1
    tiled = np.full((height * -(-len(maps) // COLUMNS), width * min(COLUMNS, len(maps))), np.nan)
    for number, one in enumerate(maps):
        top, left = height * (number // COLUMNS), width * (number % COLUMNS)
        tiled[top : top + height - 1, left : left + width - 1] = one / one.max()
    return tiled


@own_settings()
def sensitivity(found: Mapping[str, Any]) -> Figure:
    """Draw the accuracy on shifted and on noisy images.

    Args:
        found: ``split``, ``accuracy``, ``shifts`` and ``noises``, as a record has them.
    """
    kinds = {
        "shifts": ("pixels", "Accuracy on shifted images (pixels)"),
        "noises": ("deviation", "Accuracy with added noise (σ, of 255)"),
    }
    figure = new_figure(9.2, 3.2)
    all_axes = figure.subplots(1, 2, sharey=True)
    for axes, (kind, (key, label)) in zip(all_axes, kinds.items(), strict=True):
        sizes = [0, *(row[key] for row in found[kind])]
        axes.plot(
            sizes,
            [found["accuracy"], *(row["accuracy"] for row in found[kind])],
            color=BLUE,
            marker="o",
            markersize=4,
        )
        axes.set(xlabel=key, ylim=(0, 1))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.set_major_formatter(percent_tick)
        title(axes, label)
        tidy(axes)
    split = {"train": "training"}.get(found.get("split", ""), found.get("split", ""))
    all_axes[0].set_ylabel(f"accuracy, {split} images" if split else "accuracy")
    tidy(all_axes[0])
    return figure


@own_settings()
def saliency(image: NDArray[np.uint8], weight: NDArray[np.floating], said: str) -> Figure:
    """Draw an image, and how strongly each of its pixels affects the prediction.

    Args:
        image: uint8 [height, width, channels], 1 or 3 channels.
        weight: float [height, width], not negative.
        said: the network's prediction.
    """
    figure = new_figure(7.2, 3.7)
    left, right = figure.subplots(1, 2)
    shown = image[..., 0] if image.shape[-1] == 1 else image
    for axes in (left, right):
        axes.set_axis_off()
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    title(left, said)
    strength = weight / (weight.max() or 1)
    right.imshow(strength, cmap="magma", alpha=0.75, vmin=0, vmax=1, interpolation="nearest")
    title(right, "pixels that it depends on")
    return figure
