"""mlplab from Python: every function returns the public ``Run``, with its network."""

from pathlib import Path
from typing import Any

import pytest

import mlplab
from mlplab.runs import layout

SMALL: dict[str, Any] = {
    "model": {"hidden": [8]},
    "training": {"epochs": 1},
    "data": {"share": 0.2},
}


@pytest.mark.usefixtures("without_pictures")
def test_runs_from_python_are_public_runs_with_network_and_page(tmp_path: Path) -> None:
    recipe = mlplab.recipe("quickstart", **SMALL)
    runs = {
        "Run",
        "recipe",
        "train",
        "train_population",
        "resume",
        "load_run",
        "compare",
        "cross_validate",
    }
    more = {"data", "evaluate", "fit", "lr_find", "predict", "recipe_of", "study", "TensorBoard"}
    assert set(dir(mlplab)) == runs | more
    members = [recipe.model_copy(update={"seed": seed}) for seed in (1, 2)]
    alone = mlplab.train(recipe, runs_dir=tmp_path, name="alone")
    together = mlplab.train_population(members, runs_dir=tmp_path, name="both")
    found = mlplab.load_run("alone", tmp_path)
    for run in (alone, *together, found):
        assert type(run) is mlplab.Run
        assert (run.folder / layout.REPORT).exists()
        assert run.model().count_params() == run.record.parameters
    assert [run.record.seed for run in together] == [1, 2]
