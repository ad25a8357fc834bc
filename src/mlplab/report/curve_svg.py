"""Learning curves as a small SVG, for notebooks: no script, no style sheet, no library.

Text and axes have the colour of the text around them, so that they are legible in light and dark.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlplab.report.formatting import is_number, percent

WIDTH, HEIGHT = 340, 200  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 24, 26
# Okabe and Ito's, which colour-blind readers can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
KEYS = (("loss", "loss"), ("accuracy", "accuracy"))
MOST_NAMED, LONGEST = 12, 28  # names in the legend, and characters of a name
FONT = 'font-family="system-ui, sans-serif" font-size="11" fill="currentColor"'

Rows = Sequence[Mapping[str, Any]]


class Line(NamedTuple):
    """A line of a panel: its label, colour, dashes and points (epoch, value)."""

    label: str
    colour: str
    dashes: str
    points: list[tuple[float, float]]


def curves(runs: Mapping[str, Rows]) -> str:
    """Return loss and accuracy by epoch: of one run on both splits, of several on validation.

    Args:
        runs: rows of ``metrics.jsonl`` by the run's name.
    """
    found = [(title, key, _lines(runs, key)) for key, title in KEYS]
    width = WIDTH * len(KEYS)
    named, below = _legend(max((lines for _, _, lines in found), key=len), width)
    panels = [
        f'<g transform="translate({place * WIDTH} {below})">'
        f"{_panel(title, lines, key == 'accuracy')}</g>"
        for place, (title, key, lines) in enumerate(found)
        if lines
    ]
    height = below + HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        ' style="max-width: 100%" role="img" aria-label="Learning curves">'
        f"{named}{''.join(panels)}</svg>"
    )


def _legend(lines: list[Line], width: int) -> tuple[str, int]:
    """Return the names in their colours, above the panels, and where these begin."""
    parts, x, y = [], LEFT, 12
    for line in lines[:MOST_NAMED]:
        name = line.label if len(line.label) <= LONGEST else f"{line.label[: LONGEST - 1]}…"
        needed = 30 + 7 * len(name)
        if x + needed > width and x > LEFT:
            x, y = LEFT, y + 16
        parts.append(
            f'<path d="M{x} {y - 4}h18" stroke="{line.colour}" stroke-width="2.5"'
            f' stroke-dasharray="{line.dashes}"/>{_text(x + 22, y, name, "start")}'
        )
        x += needed
    if len(lines) > MOST_NAMED:
        parts.append(_text(x, y, f"and {len(lines) - MOST_NAMED} more", "start"))
    return "".join(parts), y + 6


def _lines(runs: Mapping[str, Rows], key: str) -> list[Line]:
    if len(runs) == 1:
        (rows,) = runs.values()
        found = [
            Line("training", COLOURS[0], "", _points(rows, key)),
            Line("validation", COLOURS[1], "", _points(rows, f"val_{key}")),
        ]
    else:
        found = [
            Line(
                name,
                COLOURS[place % len(COLOURS)],
                "5 3" if place // len(COLOURS) % 2 else "",
                _points(rows, f"val_{key}") or _points(rows, key),
            )
            for place, (name, rows) in enumerate(runs.items())
        ]
    return [line for line in found if line.points]


def _points(rows: Rows, key: str) -> list[tuple[float, float]]:
    return [
        (float(row["epoch"]), float(row[key]))
        for row in rows
        if is_number(row.get(key)) and is_number(row.get("epoch"))
    ]


def _panel(title: str, lines: list[Line], share: bool) -> str:
    """Return one panel: title, two ticks on each axis, lines."""
    epochs = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    first, last = min(epochs), max(epochs)
    low, high = min(values), max(values)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first) if last > first else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return LEFT + across * width, TOP + (1 - up) * height

    axis, bottom, top = LEFT, TOP + height, TOP
    parts = [
        f'<path d="M{axis} {top}V{bottom}H{axis + width}" fill="none" stroke="currentColor"'
        ' stroke-opacity="0.4"/>',
        f'<text x="{axis}" y="{TOP - 10}" {FONT} font-weight="600">{title}</text>',
    ]
    for value, y in ((high, top + 4), (low, bottom)):
        parts.append(_text(axis - 4, y, _number(value, share), "end"))
    for x, anchor in ((first, "start"), (last, "end"))[: 1 + (last > first)]:
        parts.append(_text(place(x, low)[0], bottom + 14, f"{x:g}", anchor))
    parts += [_drawn(line, [place(x, y) for x, y in line.points]) for line in lines]
    return "".join(parts)


def _drawn(line: Line, places: list[tuple[float, float]]) -> str:
    if len(places) == 1:
        ((x, y),) = places
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>'
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return (
        f'<path d="M{path}" fill="none" stroke="{line.colour}" stroke-width="1.8"'
        f' stroke-dasharray="{line.dashes}"><title>{html.escape(line.label)}</title></path>'
    )


def _text(x: float, y: float, words: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place} {FONT}>{html.escape(words)}</text>"


def _number(value: float, share: bool) -> str:
    if share:
        return percent(value)
    digits = 2 if abs(value) >= 0.1 or value == 0 else 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{digits}f}"
