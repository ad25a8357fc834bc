"""Several devices share a batch; virtual ones, in a process that is started with four of them."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from mlplab.errors import RecipeError
from mlplab.training import devices

PROGRAM = """
import json, sys
from pathlib import Path
import mlplab, jax
from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.training.devices import Sharding

def trained(batch_size, precision, share):
    recipe = mlplab.recipe(
        "quickstart",
        model={"hidden": [32, 24], "normalisation": "batch", "dropout": 0.2},
        training={"epochs": 2, "batch_size": batch_size, "precision": precision},
        augment={"shift": 1},
        callbacks={"tensorboard": "none"},
    )
    options = Options(runs_dir=Path(sys.argv[1]), devices=share, test=True, keep="results")
    run = execute.run(recipe, options)
    shares = jax.jit(Sharding(jax.devices()).share)([jax.numpy.zeros((batch_size, 3))])[0]
    return {"rows": run.history, "device": run.record.device,
            "shape": shares.sharding.shard_shape(shares.shape),
            "test": run.record.metrics["test"]["accuracy"]}

tried = [(64, "bfloat16"), (50, "float32")]
found = {str(size): [trained(size, precision, share) for share in ("1", "all")]
         for size, precision in tried}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What came of training on one device and on four, by batch size."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path_factory.mktemp("devices"))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XLA_FLAGS": flags},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("batch_size", "tolerance"), [pytest.param(64, 1e-2, marks=pytest.mark.torture), (50, 1e-4)]
)
def test_devices_compute_together_what_one_computes(
    batch_size: int, tolerance: float, trained: Any
) -> None:
    """Batch normalisation, dropout and augmentation included; 4 devices do not divide 50."""
    one, four = trained[str(batch_size)]
    assert (one["device"]["count"], four["device"]["count"]) == (1, 4)
    assert four["shape"] == [batch_size if batch_size % 4 else batch_size // 4, 3]
    for row, other in zip(one["rows"], four["rows"], strict=True):
        for key in ("loss", "val_loss"):
            assert other[key] == pytest.approx(row[key], rel=tolerance)
    assert four["test"] == pytest.approx(one["test"], abs=0.01)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("2", r"--devices 2: here is 1 \(cpu\); use --devices all"),
        ("0", "--devices 0: give all, or a number"),
        ("some", "--devices some: give all, or a number"),
    ],
)
def test_refuses_devices_that_are_not_there(wanted: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        devices.choose(wanted)
