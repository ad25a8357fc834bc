"""What the tests of several folders use."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run
from mlplab.training.plan import Progress


def train(
    recipe: Recipe,
    runs_dir: Path,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Train without figures, diagnostics and page, which take longer than so short a training."""
    chosen: dict[str, Any] = {"keep": "model", "runs_dir": runs_dir, "name": name, **options}
    return execute.run(recipe, Options(**chosen), progress)


def kill_when(seen: Callable[[], object], process: "subprocess.Popen[Any]") -> None:
    """Kill a process as soon as something is seen of it; if it ends before, the test fails."""
    while not seen():
        assert process.poll() is None, "it ended before that was seen"
        time.sleep(0.002)  # the other processes of a small machine want to be served as well
    process.kill()
    process.wait()
