"""What the tests of several folders use."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run
from mlplab.training.compilation import CPU_OPTIONS
from mlplab.training.plan import Progress


def train(
    recipe: Recipe,
    runs_dir: Path,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Train without figures, diagnostics and page, which take longer than so short a training.

    The test split is evaluated as well, unless ``options`` say otherwise.
    """
    chosen: dict[str, Any] = {"keep": "model", "test": True, **options}
    return execute.run(recipe, Options(runs_dir=runs_dir, name=name, **chosen), progress)


@contextmanager
def own_emitters() -> Iterator[None]:
    """Compile training programs as users do: XLA's older emitters may round a loop otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CPU_OPTIONS, "xla_cpu_use_fusion_emitters", True)
        yield
