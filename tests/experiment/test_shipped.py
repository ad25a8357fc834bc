"""The recipes that ship, on their real images: the long form of the tests."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlplab import recipes
from mlplab.experiment import parents
from mlplab.runs.run import Run

FOR_A_GPU = (
    "airnet",
    "airnet-wide",
    "cnn-broad",
    "cnn-wide",
    "s-fc",
    "s-fc-taught",
    "structured-broad",
)
"""Recipes of which a processor takes a tenth of the images, too few for some to learn anything."""


def one_epoch(name: str, folder: Path, data_dir: Path, called: str) -> Run:
    """Train a recipe for an epoch, and before it the recipes whose runs it names.

    Networks that were trained before begin with nothing learnt: a test downloads nothing. In a
    process of its own, where XLA optimises what it compiles.
    """
    changes = ["training.epochs=1", "training.resizing=[]", 'evaluation.splits=["validation"]']
    changes += ["evaluation.tta_flip=false", "evaluation.tta_shift=0"]
    if name in FOR_A_GPU:
        changes += ["data.share=0.1", "training.batch_size=250"]
    if "warmup_epochs" in recipes.text(name):
        changes.append("schedule.warmup_epochs=0.2")
    if name.startswith("pretrained"):
        changes.append("model.weights=random")
    for _, source in parents.named(recipes.load(name, changes)):
        one_epoch(source, folder, data_dir, source)
    where = ["--data-dir", str(data_dir), "--runs-dir", str(folder), "--name", called, "--quiet"]
    command = [sys.executable, "-m", "mlplab", "train", name, *changes, *where]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": ""}, check=True)
    return Run(folder / called)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(recipes.names(), key=lambda name: name in FOR_A_GPU))
def test_a_recipe_trains_for_an_epoch_and_learns(
    name: str, cifar10_dir: Path, tmp_path: Path
) -> None:
    if name == "lenet" and not (cifar10_dir / "mnist").is_dir():
        pytest.skip("MNIST lies not beside CIFAR-10")
    run = one_epoch(name, tmp_path, cifar10_dir, "run")
    assert run.record.status == "finished"
    assert np.isfinite(run.history[0]["loss"])
    assert name in FOR_A_GPU or run.metrics["validation"]["accuracy"] > 0.15
