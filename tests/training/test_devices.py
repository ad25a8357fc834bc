"""Several devices share a batch; virtual ones, in a process that is started with four of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlplab.errors import RecipeError
from mlplab.training import devices

PROGRAM = """
import json, sys
from pathlib import Path
import mlplab, jax
from mlplab.training.devices import Sharding

runs, batch_size, share = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
recipe = mlplab.recipe(
    "quickstart",
    model={"hidden": [32, 24], "normalisation": "batch", "dropout": 0.2},
    training={"epochs": 2, "batch_size": batch_size, "precision": sys.argv[4]},
    augment={"shift": 1},
)
run = mlplab.train(recipe, runs_dir=runs, devices=share)
shares = jax.jit(Sharding(jax.devices()).share)([jax.numpy.zeros((batch_size, 3))])[0]
shape = shares.sharding.shard_shape(shares.shape)
print(json.dumps({"rows": run.history, "device": run.record.device, "shape": shape,
                  "test": run.record.metrics["test"]["accuracy"]}))
"""


def trained(folder: Path, batch_size: int, share: str, precision: str = "float32") -> Any:
    flags = "--xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(batch_size), share, precision],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XLA_FLAGS": flags},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("batch_size", "precision"), [(64, "bfloat16"), (50, "float32")])
def test_devices_compute_together_what_one_computes(tmp_path, batch_size, precision):
    """Batch normalisation, dropout and augmentation included; 4 devices do not divide 50."""
    one = trained(tmp_path / "one", batch_size, "1", precision)
    four = trained(tmp_path / "four", batch_size, "all", precision)
    assert (one["device"]["count"], four["device"]["count"]) == (1, 4)
    assert four["shape"] == [batch_size if batch_size % 4 else batch_size // 4, 3]
    tolerance = 1e-4 if precision == "float32" else 1e-2
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
def test_refuses_devices_that_are_not_there(wanted, message):
    with pytest.raises(RecipeError, match=message):
        devices.choose(wanted)
