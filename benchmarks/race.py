"""A race: contestants take turns, each training one epoch per turn."""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks import inputs
from benchmarks.protocol import interleave
from benchmarks.report import (
    LIMIT_COLOUR,
    OURS_COLOUR,
    RESULTS,
    bars,
    columns,
    facts,
    heading,
    line,
    spread,
)
from benchmarks.workers import Contestant, Worker


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds to count; whole runs are counted by seed"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only check that it works; writes to results/quick"
    )
    parser.add_argument("--out", type=Path, help="output folder, instead of benchmarks/results")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the parsed options, after applying ``--quick``."""
    asked = parser.parse_args()
    asked.rounds = 1 if asked.quick else asked.rounds
    asked.out = asked.out or (RESULTS / "quick" if asked.quick else RESULTS)
    asked.out.mkdir(parents=True, exist_ok=True)
    return asked


def run(
    question: str,
    contestants: Sequence[Contestant],
    ours: str,
    asked: argparse.Namespace,
    stand_in: bool = True,
    images: int | None = None,
) -> dict[str, Any]:
    """Run a race and return the measurements as JSON-able tables.

    Every contestant works once before the counted rounds, to get compilation and other first-time
    costs out of the way.

    Args:
        question: what the seconds measure.
        contestants: their programs report the seconds of each turn.
        ours: the contestant that is the denominator of ratios.
        asked: the options, from :func:`parse`.
        stand_in: whether random images may be used if CIFAR-10 is not available.
        images: how many training images, by default all.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((asked.out / "peers.log").open("w"))
        source = inputs.write(folder, asked.quick and stand_in, stand_in, images)
        workers = []
        for number, contestant in enumerate(contestants):
            places = {"data": str(folder), "scratch": str(folder / str(number))}
            worker = Worker(contestant, places, log)
            stack.callback(worker.close)
            print(f"{worker.name}: {worker.turn():.2f} s for the first time", flush=True)
            workers.append(worker)
        turns = {worker.name: worker.turn for worker in workers}
        timing = interleave(turns, asked.rounds, repeat=not asked.quick)
    rows = timing.summary(ours)
    for worker, contestant in zip(workers, contestants, strict=True):
        last = {key: worker.last[key] for key in ("limit", "loss") if key in worker.last}
        rows[worker.name] |= last | {
            "peak_memory_bytes": worker.last["peak_memory"],
            "versions": worker.versions,
            "apart": contestant.apart,
        }
    return {
        "question": question,
        **facts(),
        "data": source,
        "ours": ours,
        "rounds": len(timing.reference),
        "repeated": timing.repeated,
        "slowed": timing.slowed,
        "reference_gflops": timing.reference,
        "contestants": rows,
    }


def table(result: dict[str, Any]) -> str:
    """Return a race as Markdown."""
    ours = result["ours"]
    lines = [
        *heading(result),
        rounds(result),
        *columns("", "seconds", f"time over {ours}'s", "peak memory, MB"),
    ]
    for name, row in result["contestants"].items():
        own, shown = name == ours, f"{name} \\*" if row["apart"] else name
        memory = "–" if "limit" in row else f"{row['peak_memory_bytes'] / 1e6:,.0f}"
        ratio = "1" if own else spread(ratios(result, name, ours))
        lines.append(line(f"**{shown}**" if own else shown, spread(row["seconds"]), ratio, memory))
    return "\n".join([*lines, "", *_notes(result)]) + "\n"


def rounds(result: dict[str, Any]) -> str:
    """Describe in words how the rounds went."""
    return (
        f"{result['rounds']} interleaved rounds, {result['slowed']} of them on a slowed machine;"
        f" {result['repeated']} more were slowed and repeated. Medians (lowest to highest)."
    )


def _notes(result: dict[str, Any]) -> list[str]:
    """Return the notes below the table: versions, contestants set apart, the limit."""
    ours, notes = result["ours"], []
    for name, row in result["contestants"].items():
        versions = ", ".join(f"{key} {value}" for key, value in row["versions"].items())
        notes += [f"- {name}: {versions}"] if versions else []
        notes += [f"- \\* {name}: {row['apart']}"] if row["apart"] else []
        if limit := row.get("limit"):
            notes.append(
                f"- {ours} takes {spread(ratios(result, ours, name))} times the limit, which in"
                f" the last round was {limit['products_seconds'] * 1e3:.2f} ms a step for the"
                f" products and {limit['optimizer_seconds'] * 1e3:.2f} ms for the optimizer's"
                f" {limit['optimizer_bytes'] / 1e6:.0f} MB"
            )
    return notes


def ratios(result: dict[str, Any], name: str, base: str) -> list[float]:
    """Return the ratio of one contestant's time to another's, round by round."""
    rows = result["contestants"]
    return [a / b for a, b in zip(rows[name]["seconds"], rows[base]["seconds"], strict=True)]


def picture(result: dict[str, Any]) -> Figure:
    """Return a race as a bar chart, without the contestants set apart."""
    rows = {name: row for name, row in result["contestants"].items() if not row.get("apart")}
    colours = {name: LIMIT_COLOUR for name, row in rows.items() if "limit" in row}
    title = result["question"][0].upper() + result["question"][1:]
    values = {name: row["seconds"] for name, row in rows.items()}
    return bars(title, "seconds", values, colours | {result["ours"]: OURS_COLOUR})
