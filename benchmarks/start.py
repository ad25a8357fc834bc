"""Seconds from the command to the end of its first training step.

    python -m benchmarks.start --rounds 5

Compares ``mlplab train published`` with the published program in Keras, each in a new process.
Images are decoded beforehand; the Keras program gets them as arrays. mlplab with an empty cache,
which has to decode CIFAR-10 first, is measured separately. Each program reports the time at the end
of its first step and then exits.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from benchmarks import inputs, published, race, report, whole
from benchmarks.protocol import interleave
from benchmarks.workers import Contestant
from mlplab.cache import cache_dir

FIRST = {"until": "first step"}
MLPLAB = Contestant("mlplab train published", "mlplab_train.py", settings=FIRST)
TENSORFLOW, JAX = (replace(peer, settings=FIRST) for peer in (published.KERAS, published.KERAS_JAX))
OURS = "mlplab train published, again"


def main() -> None:
    """Run the race and write ``results/start.*``."""
    asked = race.parse(race.options(__doc__))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((asked.out / "peers.log").open("w"))
        source = inputs.write(folder, asked.quick)
        timing = interleave(_contestants(folder, log), asked.rounds, repeat=not asked.quick)
    result = {
        "question": "seconds from the command to the end of the first training step",
        **report.facts(),
        "data": source,
        "ours": OURS,
        "rounds": len(timing.reference),
        "repeated": timing.repeated,
        "slowed": timing.slowed,
        "reference_gflops": timing.reference,
        "contestants": timing.summary(OURS),
    }
    report.write(asked.out, "start", result, _table(result), race.picture(result))


def _contestants(folder: Path, log: IO[str]) -> dict[str, Callable[[], float]]:
    """Return functions that start the programs, by name; order matters, because caches fill up."""
    cache, kept = folder / "cache", {"JAX_COMPILATION_CACHE_DIR": str(folder / "jax-cache")}
    ours = {"MLPLAB_CACHE_DIR": str(cache)}

    def fresh() -> float:
        shutil.rmtree(cache, ignore_errors=True)
        return _first_step(MLPLAB, ours, folder, log)

    def first() -> float:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700)
        (cache / "decoded").symlink_to(cache_dir() / "decoded")
        return _first_step(MLPLAB, ours, folder, log)

    def first_of_jax() -> float:
        shutil.rmtree(folder / "jax-cache", ignore_errors=True)
        return _first_step(JAX, kept, folder, log)

    return {
        "mlplab train published, nothing cached": fresh,
        "mlplab train published, nothing compiled": first,
        OURS: lambda: _first_step(MLPLAB, ours, folder, log),
        "published program, Keras/TensorFlow": lambda: _first_step(TENSORFLOW, {}, folder, log),
        "published program, Keras/JAX": first_of_jax,
        "published program, Keras/JAX, again with JAX's cache": lambda: _first_step(
            JAX, kept, folder, log
        ),
    }


def _first_step(
    contestant: Contestant, environ: dict[str, str], folder: Path, log: IO[str]
) -> float:
    settings = {"data": str(folder), "scratch": str(folder / "scratch")}
    told = whole.run(contestant.command(settings), contestant.environ | environ, log, folder)
    return float(told.lines[-1]["at"]) - told.begun


def _table(result: dict[str, Any]) -> str:
    lines = [
        *report.heading(result),
        race.rounds(result),
        *report.columns("", "seconds", f"time over that of {OURS}"),
    ]
    for name, row in result["contestants"].items():
        ratio = "1" if name == OURS else report.spread(race.ratios(result, name, OURS))
        lines.append(report.line(name, report.spread(row["seconds"]), ratio))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
