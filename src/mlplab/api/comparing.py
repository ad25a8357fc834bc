"""Runs that are there already: found, and compared."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlplab.api.common import runs_folder
from mlplab.api.run import Run
from mlplab.errors import RunError
from mlplab.runs import run as runs
from mlplab.runs import store

if TYPE_CHECKING:
    from mlplab.report.shown import Compared


def load_run(query: str = "last", runs_dir: str | Path | None = None) -> Run:
    """Return a run by its name, a unique prefix of it, its path, or ``"last"``.

    Raises:
        RunError: if no run or more than one fits.
    """
    return Run(store.find(runs_folder(runs_dir), query))


def compare(
    *sides: "str | Run",
    on: Literal["test", "validation"] | None = None,
    margin: float | None = None,
    runs_dir: str | Path | None = None,
) -> "Compared":
    """Compare runs or groups of replicates: is one better, and is that luck?

    Args:
        *sides: runs, or names: of runs and groups, config_ids, globs, ``STUDY/VARIANT``. The others
            are compared with the first, seed by seed.
        on: the split to compare on; by default test where all have been measured there.
        margin: points that a difference must reach to matter; by default half a point.
        runs_dir: where the runs are, by default those of ``MLPLAB_RUNS_DIR``, or ``runs``.

    Returns:
        A comparison that shows itself: table, verdicts and learning curves.

    Raises:
        RunError: if a name fits nothing, or the runs cannot be compared.
    """
    from mlplab.report import comparison
    from mlplab.report.configurations import find_sides
    from mlplab.report.shown import Compared

    names = [str(side.folder) if isinstance(side, runs.Run) else side for side in sides]
    found = find_sides(runs_folder(runs_dir), names)
    if len(found) < 2:
        raise RunError("name two or more to compare")
    share = comparison.MARGIN if margin is None else margin / 100
    return Compared(comparison.compare(found, on, share), list(found))
