"""Output of a measurement: JSON, a Markdown table and a picture."""

import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mlplab.experiment import environment

RESULTS = Path(__file__).parent / "results"
OURS_COLOUR, PEER_COLOUR, LIMIT_COLOUR = "#1f6f8b", "#b9c2c9", "#d08c2b"


def facts() -> dict[str, Any]:
    """Return the command, machine and versions of a session."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    words = ["python", "-m", module.name if module else "benchmarks", *sys.argv[1:]]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "command": shlex.join(words),
        "device": environment.device()
        | {"memory_gib": round(memory, 1), "system": platform.system()},
        "versions": environment.versions(),
        "git": environment.git(),
    }


def write(out: Path, name: str, result: Mapping[str, Any], table: str, picture: Figure) -> None:
    """Write ``<name>.json``, ``.md`` and ``.png``, and print the table."""
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / f"{name}.md").write_text(table)
    picture.savefig(out / f"{name}.png", dpi=144)
    print(f"\n{table}\nwritten: {out / name}.json, .md, .png", flush=True)


def heading(result: Mapping[str, Any]) -> list[str]:
    """Return the title and conditions of a measurement as Markdown lines."""
    device = result["device"]
    return [
        f"# {result['question'][0].upper()}{result['question'][1:]}",
        "",
        f"`{result['command']}`, on {device['name']} with {device['threads']} threads and"
        f" {device['memory_gib']} GiB; {result['data']}; Python {result['versions']['python']},"
        f" mlplab {result['versions']['mlplab']}.",
    ]


def columns(*headings: str) -> list[str]:
    """Return a table's first lines: text is left-aligned, numbers are right-aligned."""
    return ["", line(*headings), line("---", *["---:"] * (len(headings) - 1))]


def line(*cells: object) -> str:
    """Return a table row."""
    return "| " + " | ".join(map(str, cells)) + " |"


def spread(values: list[float], digits: int = 2) -> str:
    """Return "median (lowest to highest)" as text, or just the value if there is only one."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def bars(
    title: str, unit: str, values: Mapping[str, list[float]], colours: Mapping[str, str]
) -> Figure:
    """Draw a bar per name up to its median, with a line from the lowest to the highest value.

    Args:
        title: shown above the picture.
        unit: of the values.
        values: by name, from top to bottom; at least one value each.
        colours: by name; other bars are grey.
    """
    figure = Figure(figsize=(8, 1.2 + 0.42 * len(values)), layout="constrained")
    axes = figure.subplots()
    for row, (name, numbers) in enumerate(values.items()):
        middle = statistics.median(numbers)
        axes.barh(row, middle, color=colours.get(name, PEER_COLOUR), height=0.7)
        axes.plot([min(numbers), max(numbers)], [row, row], color="#333333", linewidth=1)
        axes.annotate(
            f"{middle:,.1f}",
            (max(numbers), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
