"""Seconds and memory of whole commands as they get more to do, and how straight the lines are.

    python -m benchmarks.scaling --rounds 3
    python -m benchmarks.scaling --only epochs trials

Twice the epochs, images, pixels, members of a population or trials of a study should take twice the
time, and memory should grow only with what has to be in it. Each point is a whole command in a
process of its own. Rounds go through all points in turn, and the fastest of each point counts: on a
shared machine, what is slower than that was disturbed.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import race, report, whole

NETWORK = [
    "data.name=cifar10",
    "model.hidden=[256]",
    "data.validation=0.1",
    "training.batch_size=500",
    "evaluation.tta_flip=false",
    "callbacks.tensorboard=none",
    "callbacks.early_stopping=none",
]
FOLDER_IMAGES, LARGEST = 2_000, 96


@dataclass(frozen=True)
class Line:
    """A question: what a command takes for more and more of something.

    Attributes:
        what: there is more of.
        amounts: on the axis, of which there is a command for each.
        command: its words after ``mlplab``, for an amount.
        flat: whether memory should not grow with it.
    """

    what: str
    amounts: tuple[int, ...]
    command: Callable[[int, Path], list[str]]
    flat: bool = False


def trained(*changes: str) -> list[str]:
    """Return the command that trains an MLP for some epochs."""
    return ["train", "published-honest", *NETWORK, "training.epochs=8", *changes]


def sized(side: int, folder: Path) -> list[str]:
    """Return the command that trains on images of one's own, which it decodes and resizes."""
    changes = [f"data.image_size={side}", f"data.path={folder / 'images'}", "data.name=folder"]
    return trained(*changes)


def searched(trials: int, folder: Path) -> list[str]:
    """Return the command of a study with so many trials of a small network."""
    study = folder / f"trials-{trials}.toml"
    study.write_text(
        'title = "More trials"\nbase = "quickstart"\n'
        f'[design]\nkind = "quasirandom"\ntrials = {trials}\nfinals = 2\n'
        '[recipe]\ncallbacks.early_stopping = "none"\ncallbacks.tensorboard = "none"\n'
        "[vary]\noptimizer.learning_rate = { low = 1e-4, high = 1e-2, log = true }\n"
        '[variants]\nadam.optimizer.name = "adam"\nsgd.optimizer.name = "sgd"\n'
    )
    return ["study", str(study), "--workers", "1"]


LINES = (
    Line("epochs", (8, 16, 24, 32), lambda n, _: trained(f"training.epochs={n}"), flat=True),
    Line(
        "images", (12_500, 25_000, 37_500, 50_000), lambda n, _: trained(f"data.share={n / 50_000}")
    ),
    Line("pixels", (32**2, 56**2, 80**2, 96**2), lambda n, folder: sized(round(n**0.5), folder)),
    Line(
        "members",
        (2, 4, 6, 8),
        lambda n, _: [*trained("training.epochs=2"), "--population", f"seed=0..{n - 1}"],
    ),
    Line("trials", (4, 8, 12, 16), searched, flat=True),
)


def main() -> None:
    """Measure and write ``results/scaling.*``."""
    parser = race.options(__doc__)
    parser.add_argument("--only", nargs="*", choices=[line.what for line in LINES])
    asked = race.parse(parser)
    lines = [line for line in LINES if asked.only is None or line.what in asked.only]
    if asked.quick:
        lines = [Line(line.what, line.amounts[:2], line.command, line.flat) for line in lines]
    found: dict[str, dict[int, list[dict[str, float]]]] = {
        line.what: {amount: [] for amount in line.amounts} for line in lines
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((asked.out / "scaling.log").open("w"))
        if any(line.what == "pixels" for line in lines):
            draw_images(folder / "images")
        for number in range(asked.rounds + 1):  # the first fills the caches and does not count
            for line in lines:
                for amount in line.amounts:
                    runs = ["--runs-dir", str(folder / f"runs-{number}-{line.what}-{amount}")]
                    words = [*line.command(amount, folder), *runs, "--quiet"]
                    command = [sys.executable, "-m", "mlplab", *words]
                    done = whole.run(command, dict(environ), log, folder)
                    row = {"seconds": done.seconds, "megabytes": done.peak_memory_bytes / 1e6}
                    print(f"{line.what} {amount:,}: {row['seconds']:.1f} s", flush=True)
                    if number:
                        found[line.what][amount].append(row)
    result = {
        "question": "seconds and memory of whole commands that get more to do",
        **report.facts(),
        "data": f"CIFAR-10; pixels: {FOLDER_IMAGES:,} images in files",
        "rounds": asked.rounds,
        "lines": {line.what: summary(found[line.what]) for line in lines},
        "flat": [line.what for line in lines if line.flat],
    }
    report.write(asked.out, "scaling", result, table(result), picture(result))


def draw_images(folder: Path) -> None:
    """Write image files of two classes, as large as the largest asked for."""
    rng = np.random.default_rng(0)
    for number in range(FOLDER_IMAGES):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (LARGEST, LARGEST, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")


def summary(rows: dict[int, list[dict[str, float]]]) -> dict[str, Any]:
    """Return a line's points, the straight line through them, and how far they are from it."""
    amounts = list(rows)
    seconds = [min(row["seconds"] for row in rows[amount]) for amount in amounts]
    memory = [min(row["megabytes"] for row in rows[amount]) for amount in amounts]
    slope, start = np.polyfit(amounts, seconds, 1)
    fitted = [start + slope * amount for amount in amounts]
    off = [point / line - 1 for point, line in zip(seconds, fitted, strict=True)]
    return {
        "amounts": amounts,
        "seconds": seconds,
        "megabytes": memory,
        "all": [rows[amount] for amount in amounts],
        "seconds_at_none": start,
        "seconds_for_one": slope,
        "furthest_from_straight": max(map(abs, off)),
        "memory_growth": max(memory) / min(memory) - 1,
    }


def table(result: dict[str, Any]) -> str:
    """Return the lines as Markdown."""
    titles = ("more of", "amounts", "seconds", "start, s", "furthest from straight", "memory, MB")
    lines = [*report.heading(result), "", report.line(*titles), report.line(*["---"] * len(titles))]
    for what, row in result["lines"].items():
        lines.append(
            report.line(
                what,
                ", ".join(f"{amount:,}" for amount in row["amounts"]),
                ", ".join(f"{value:.1f}" for value in row["seconds"]),
                f"{row['seconds_at_none']:.1f}",
                f"{row['furthest_from_straight']:.1%}",
                ", ".join(f"{value:,.0f}" for value in row["megabytes"]),
            )
        )
    notes = [f"The fastest of {result['rounds']} rounds."]
    if result["flat"]:
        notes.append(f"Memory should not grow with {' and '.join(result['flat'])}.")
    return "\n".join([*lines, "", " ".join(notes)]) + "\n"


def picture(result: dict[str, Any]) -> Figure:
    """Draw each line with its points, seconds above and memory below."""
    rows = result["lines"]
    figure = Figure(figsize=(3 * len(rows), 5), layout="constrained")
    axes = figure.subplots(2, len(rows), squeeze=False)
    for (what, row), (above, below) in zip(rows.items(), axes.T, strict=True):
        amounts = np.asarray(row["amounts"])
        above.plot(amounts, row["seconds"], "o", color=report.OURS_COLOUR)
        straight = row["seconds_at_none"] + row["seconds_for_one"] * amounts
        above.plot(amounts, straight, color=report.OURS_COLOUR, linewidth=1)
        below.plot(amounts, row["megabytes"], "o-", color=report.PEER_COLOUR, linewidth=1)
        for one in (above, below):
            one.set_ylim(bottom=0)
            one.set_xlim(left=0)
            one.spines[["top", "right"]].set_visible(False)
        below.set_xlabel(what)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("memory, MB")
    return figure


if __name__ == "__main__":
    main()
