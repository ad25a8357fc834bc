"""Draws the plan of the house from the imports of its files: docs/images/rooms.svg.

python docs/plan.py            # writes it
python docs/plan.py --check    # says whether it is stale, with exit code 1
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import mlplab

ROOT = Path(mlplab.__file__).parent
PICTURE = Path(__file__).parent / "images" / "rooms.svg"

# From the ground up: a file imports from its own room and from rooms below it. Rooms of one floor
# stand beside each other and import nothing of each other.
FLOORS = (
    ("errors", "text", "files", "memory", "cache", "import_path"),
    ("statistics",),
    ("recipes",),
    ("figures",),
    ("runs",),
    ("report",),
    ("data", "live", "models", "optim"),
    ("augment",),
    ("evaluation",),
    ("tensorboard", "tracking"),
    ("training",),
    ("drop_in", "experiment", "plain"),
    ("study",),
    ("api",),
    ("ui",),
    ("cli",),
)
GROUND = FLOORS[0]
COLD = {"statistics", "recipes", "runs", "report", "live", "cli", "api", "ui", *GROUND}
"""Rooms that load neither Keras nor JAX when they are imported."""

PURPOSE = {
    "statistics": "numbers in, numbers out",
    "recipes": "what an experiment is",
    "figures": "arrays in, pictures out",
    "runs": "the facts of runs",
    "report": "findings, pages, comparisons",
    "data": "images",
    "live": "a training, watched",
    "models": "networks",
    "optim": "optimizers, schedules",
    "augment": "random changes of a batch",
    "evaluation": "predictions, diagnostics",
    "tensorboard": "events, HParams, server",
    "tracking": "runs at MLflow and others",
    "training": "the engine",
    "drop_in": "fit for any Keras model",
    "experiment": "where data, network and engine meet",
    "plain": "runs as Keras programs",
    "study": "many experiments by a design",
    "api": "from Python",
    "ui": "from a browser",
    "cli": "from the shell",
}

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Return the files of the package by their module names, without ``mlplab.``."""
    paths = (path for path in ROOT.rglob("*.py") if path.name != "__main__.py")
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
        if path != ROOT / "__init__.py"
    }


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file imports, wherever in it that is."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            parts = {name for name in named if name.removeprefix("mlplab.") in known}
            found |= parts or {node.module}
            if len(parts) < len(named):
                found.add(node.module)
    ours = {name.removeprefix("mlplab.") for name in found if name.startswith("mlplab.")}
    return {name for name in ours if name in known}


def files() -> Graph:
    """Return which files import which."""
    known = modules()
    return {name: imports(path, known) - {name} for name, path in known.items()}


def rooms() -> Graph:
    """Return which rooms import from which."""
    graph: Graph = {}
    for name, imported in files().items():
        room = name.split(".")[0]
        graph.setdefault(room, set()).update(other.split(".")[0] for other in imported)
    return {room: imported - {room} for room, imported in graph.items()}


def circle(graph: Graph) -> list[str]:
    """Return the members of a circle of imports; an empty list where there is none."""
    done: set[str] = set()

    def search(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := search(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := search(name, []))), [])


def floor(module: str) -> int:
    """Return the floor of a module's room, from 0 for the ground.

    Raises:
        KeyError: if the room is on no floor.
    """
    room = module.split(".")[0]
    return {name: number for number, names in enumerate(FLOORS) for name in names}[room]


WIDTH, BOX, GAP = 760, 38, 10
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.what { font-size: 11px; fill: #5b6570 }
rect { fill: #ffffff; stroke: #b6bec7 }
.cold rect { fill: #e8f1fb; stroke: #7aa7d9 }
rect.page { fill: #ffffff; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e9ec } .what { fill: #a8b2bc }
  rect { fill: #1f2429; stroke: #59636e }
  .cold rect { fill: #1c2d40; stroke: #4b7bb0 } rect.page { fill: #14181b }
}
"""


def picture() -> str:
    """Return the plan as SVG: a row for each floor, the ground at the bottom."""
    graph = rooms()
    height = len(FLOORS) * (BOX + GAP) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The rooms of mlplab: each imports from rooms below it</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
    ]
    for row, names in enumerate(reversed(FLOORS)):
        lines += list(_row(names, row * (BOX + GAP) + GAP / 2, graph))
    note = "Blue rooms load neither Keras nor JAX. Small: what a room imports, bottom row aside."
    lines += [f'<text class="what" x="8" y="{height - 8}">{note}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def _row(names: tuple[str, ...], top: float, graph: Graph) -> Iterator[str]:
    side = (WIDTH - GAP * (len(names) + 1)) / len(names)
    for place, name in enumerate(names):
        left = GAP + place * (side + GAP)
        below = sorted(graph.get(name, set()) - set(GROUND), key=lambda room: (-floor(room), room))
        yield f'<g class="{"cold" if name in COLD else "warm"}">'
        yield f'<rect x="{left:.0f}" y="{top:.0f}" width="{side:.0f}" height="{BOX}" rx="5"/>'
        title = f"{name}: {PURPOSE[name]}" if name in PURPOSE else name
        yield f'<text x="{left + 8:.0f}" y="{top + 16:.0f}">{title}</text>'
        if below:
            words = ", ".join(below)
            yield f'<text class="what" x="{left + 8:.0f}" y="{top + 31:.0f}">{words}</text>'
        yield "</g>"


def main() -> None:
    """Write the picture, or only check it."""
    drawn = picture()
    stale = not PICTURE.exists() or PICTURE.read_text("utf-8") != drawn
    if "--check" in sys.argv[1:]:
        sys.exit("stale: run python docs/plan.py" if stale else 0)
    PICTURE.write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
