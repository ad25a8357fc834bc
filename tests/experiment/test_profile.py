"""``profile=True``: the same run, with a profile beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlplab
from mlplab.runs.run import Run

SHORT: dict[str, Any] = {"training": {"epochs": 1}, "model": {"hidden": [16], "dropout": 0.2}}


def train(runs_dir: Path, profile: bool) -> Run:
    recipe = mlplab.recipe("quickstart", **SHORT, callbacks={"tensorboard": "none"})
    return mlplab.train(recipe, runs_dir=runs_dir, name=f"p{profile}", profile=profile, test=True)


@pytest.mark.usefixtures("without_pictures", "short_measurements")
def test_a_profiled_run_comes_to_the_same_result(tmp_path: Path) -> None:
    plain, profiled = train(tmp_path, False), train(tmp_path, True)
    assert not (plain.folder / "profile").exists()
    assert "profile/table.json" in profiled.record.files
    assert plain.metrics == profiled.metrics
    for split in ("train", "test"):
        one, other = (run.predictions(split)["probabilities"] for run in (plain, profiled))
        assert np.array_equal(one, other)
    page = (profiled.folder / "report.html").read_text("utf-8")
    assert '<h2 id="speed">' in page
    assert '<h2 id="speed">' not in (plain.folder / "report.html").read_text("utf-8")
