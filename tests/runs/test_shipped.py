"""The recipes that ship, on a fifth of their real images: the long form of the tests."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlplab import recipes
from mlplab.runs import sources
from mlplab.runs.run import Run


def one_epoch(name: str, folder: Path, data_dir: Path, called: str) -> Run:
    """Train a recipe for an epoch, and before it the recipes whose runs it names.

    Batches of 250, so that a fifth of the images gives enough steps to learn something. Networks
    that were trained before begin with nothing learnt: a test downloads nothing. In a process of
    its own, where XLA optimises what it compiles.
    """
    changes = ["training.epochs=1", "training.resizing=[]", "training.batch_size=250"]
    changes += ["data.share=0.2", 'evaluation.splits=["validation"]']
    if "warmup_epochs" in recipes.text(name):
        changes.append("schedule.warmup_epochs=0.2")
    if name.startswith("pretrained"):
        changes.append("model.weights=random")
    for _, source in sources.named(recipes.load(name, changes)):
        one_epoch(source, folder, data_dir, source)
    where = ["--data-dir", str(data_dir), "--runs-dir", str(folder), "--name", called, "--quiet"]
    command = [sys.executable, "-m", "mlplab", "train", name, *changes, *where]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": ""}, check=True)
    return Run(folder / called)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_trains_for_an_epoch_and_learns(
    name: str, cifar10_dir: Path, tmp_path: Path
) -> None:
    if name == "lenet" and not (cifar10_dir / "mnist").is_dir():
        pytest.skip("MNIST lies not beside CIFAR-10")
    run = one_epoch(name, tmp_path, cifar10_dir, "run")
    assert run.record.status == "finished"
    assert run.metrics["validation"]["accuracy"] > 0.15
    assert np.isfinite(run.history[0]["loss"])
