"""A study on a real Ray cluster of two nodes on this machine, one of which dies."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlplab.errors import UserError
from mlplab.live import NoStudyProgress
from mlplab.runs import store
from mlplab.study import design, preconditions
from mlplab.study import run as conduct

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


@dataclass
class Removing(NoStudyProgress):
    """Removes a node of a cluster when the first trial has ended: the others are running."""

    cluster: Any
    node: Any

    def on_end(self, variant: str, outcome: str, value: float | None) -> None:
        if self.node is not None:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = None


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_a_node_that_dies_costs_no_trial_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlplab.study.cluster import cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    study = design.read(STUDY, "the study")
    settings = preconditions.Settings(folder=tmp_path / "runs" / "s")
    preconditions.begin(study, settings.folder, preconditions.prepare(study, settings))
    nodes = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    try:
        removing = Removing(nodes, nodes.add_node(num_cpus=1))
        nodes.wait_for_nodes()
        with cluster(nodes.address, 1, 10**8, print) as executor:
            conduct.conduct(study, settings, executor, removing)
        assert removing.node is None
    finally:
        nodes.shutdown()
    found = facts(settings.folder)["trials"]
    assert [trial["outcome"] for trial in found] == ["finished"] * 3
    assert [path.name for path in store.folders(settings.folder / "trials")] == [
        f"all-t{number:02d}-s0" for number in range(3)
    ]
