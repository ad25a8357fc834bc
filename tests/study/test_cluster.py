"""A study on a real Ray cluster of two nodes on this machine, one of which dies."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlplab.errors import UserError
from mlplab.runs import store

cluster_utils = pytest.importorskip("ray.cluster_utils")

STUDY = """
base = "quickstart"
[design]
trials = 3
finals = 0
[recipe]
callbacks.tensorboard = "none"
callbacks.early_stopping = "none"
model.hidden = [16]
training.epochs = 40
[vary]
optimizer.learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def facts(folder: Path) -> Any:
    return json.loads((folder / "study.json").read_text())["variants"]["all"]


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:6379", "192.0.2.1:99999", "no.host.:1"])
def test_an_address_without_a_cluster_is_refused_before_ray_waits_for_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlplab.study import executors

    monkeypatch.setattr("ray.init", lambda *given, **options: pytest.fail("Ray was asked"))
    with pytest.raises(UserError, match=r"address|no Ray cluster"):
        executors.check("ray", address)


@pytest.mark.timeout(240)
def test_a_node_that_dies_costs_no_trial_and_doubles_none(tmp_path: Path) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    (tmp_path / "s.toml").write_text(STUDY)
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        command = [sys.executable, "-m", "mlplab", "study", "s.toml", "--engine", "ray"]
        command += ["--address", cluster.address, "--runs-dir", "runs", "--quiet"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        folder = tmp_path / "runs" / "s"
        while not store.folders(folder / "trials"):  # both nodes have tasks by now
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        found = facts(folder)["trials"]
        assert [trial["outcome"] for trial in found] == ["finished"] * 3
        assert [path.name for path in store.folders(folder / "trials")] == [
            f"all-t{number:02d}-s0" for number in range(3)
        ]
    finally:
        cluster.shutdown()
