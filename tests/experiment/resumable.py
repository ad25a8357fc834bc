"""Trainings that between them have everything that a checkpoint must keep."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.helpers import train

import mlplab
from mlplab.recipes.recipe import Recipe
from mlplab.runs.run import Run
from mlplab.training.plan import NoProgress

PLATEAU = {"name": "ReduceLROnPlateau", "monitor": "val_loss", "patience": 1, "min_delta": 0.05}
STOPPING = {
    "name": "EarlyStopping",
    "monitor": "val_loss",
    "patience": 3,
    "min_delta": 0.02,
    "restore_best_weights": True,
}
# Dropout, averages, every callback with a memory, a schedule, augmentation, batch normalisation, an
# optimizer that is judged at other weights.
RECIPES: dict[str, dict[str, Any]] = {
    "everything": {
        "model": {"hidden": [48], "dropout": 0.3},
        "average": {"momentum": 0.9},
        "training": {"epochs": 12},
        "callbacks": {
            "plateau": PLATEAU,
            "early_stopping": STOPPING,
            "log": {"name": "CSVLogger"},
            "best": {"name": "ModelCheckpoint", "monitor": "val_loss", "save_best_only": True},
            "tensorboard": {"name": "TensorBoard", "histogram_freq": 2, "images": False},
        },
    },
    "schedule": {
        "model": {"hidden": [48], "normalisation": "batch"},
        "optimizer": {"name": "muon", "learning_rate": 0.01},
        "schedule": {"name": "WarmupCosine", "warmup_epochs": 1},
        "augment": {"shift": 1},
        "training": {"epochs": 5, "batch_size": 100},
        "callbacks": {"early_stopping": None, "tensorboard": None},
    },
    "schedule-free": {
        "model": {"hidden": [48], "dropout": 0.3},
        "optimizer": {"name": "ScheduleFreeAdamW", "learning_rate": 0.01},
        "training": {"epochs": 5},
        "callbacks": {"early_stopping": STOPPING, "tensorboard": None},
    },
}


def recipe(name: str) -> Recipe:
    return mlplab.recipe("quickstart", **RECIPES[name])


class Whole:
    """Runs that nothing interrupted, each trained when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Run:
        if not (self.folder / name).exists():
            train(recipe(name), self.folder, name)
        return Run(self.folder / name)


class Stop(NoProgress):
    """Fails within an epoch, as a process does that is killed, but for the record."""

    def __init__(self, epoch: int, share: float) -> None:
        self.epoch = epoch
        self.share = share

    def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch and done >= self.share * total:
            raise RuntimeError("stopped on purpose")


def interrupted(name: str, folder: Path, epoch: int, share: float, seconds: float = 0) -> Path:
    """Train until a share of an epoch is done, and return the folder of what is left."""
    with pytest.raises(RuntimeError):
        train(recipe(name), folder, "run", Stop(epoch, share), checkpoint_seconds=seconds)
    return folder / "run"


PROGRAM = """
import os, signal, sys
from pathlib import Path
from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.recipes import load

recipe, folder, number, part, nth = sys.argv[1:]
seen = 0

def hear(event, arguments):
    global seen
    if event == "open" or event.startswith("os."):
        path = str(arguments[0]) if arguments else ""
        if path.startswith(folder) and part in path:
            seen += 1
            if seen == int(nth):
                os.kill(os.getpid(), int(number))

sys.addaudithook(hear)
options = Options(runs_dir=Path(folder), name="run", checkpoint_seconds=0, keep="model", test=True)
execute.run(load(recipe), options)
print(seen)
"""


def victim(
    recipe_file: Path, folder: Path, signal_: signal.Signals, part: str, nth: int
) -> "subprocess.Popen[str]":
    """Train in a process that signals itself when it uses a file for the nth time.

    Args:
        recipe_file: what to train.
        folder: of runs.
        signal_: that ends or stops the process.
        part: of the path of the file; of any file of the run, where it is empty.
        nth: counted from 1; opening, renaming and removing are each one use.
    """
    words = [str(recipe_file), str(folder), str(signal_.value), part, str(nth)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True
    )
