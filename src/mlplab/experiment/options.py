"""The options of a run in addition to its recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run in addition to its recipe; none of them changes the result.

    Attributes:
        data_dir: folder that contains the data set's folder, such as ``cifar10/``.
        runs_dir: where the run folder is created.
        name: of the run; by default ``<recipe>-<date>-<time>-s<seed>``.
        group: a label for comparisons.
        recipe_name: name of the recipe.
        command: command line that repeats the run.
        test: whether the test set is evaluated when training has ended; ``None``: as the recipe
            says.
        devices: ``"all"`` or a number of them, which share each batch.
        trust: load the user's own code that the recipe names.
        profile: time and trace some steps when training has ended.
        layers: measure and draw the network's layers after each epoch.
        checkpoint_seconds: minimum time between two checkpoints at the ends of epochs; within an
            epoch, ten times that.
        keep: ``all``, ``model`` (no figures, events and page) or ``results`` (no network and no
            diagnostics of its layers either), as trials of studies do.
    """

    data_dir: Path | None = None
    runs_dir: Path = Path("runs")
    name: str | None = None
    group: str | None = None
    recipe_name: str = "recipe"
    command: str = ""
    test: bool | None = None
    devices: str = "1"
    trust: bool = False
    profile: bool = False
    layers: bool = False
    checkpoint_seconds: float = 30.0
    keep: Literal["all", "model", "results"] = "all"


KEPT = ("test", "devices", "profile", "layers", "checkpoint_seconds", "keep")
"""Options that a resumed run takes from its record."""
