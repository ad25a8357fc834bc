"""Warnings about callbacks that take worse for better."""

import pytest

import mlplab
from mlplab.experiment.complete import complete
from mlplab.training import monitors


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"monitor": "val_loss"}, []),
        ({"mode": "min"}, []),
        ({"monitor": "val_accuracy", "mode": "max"}, []),
        (
            {"mode": "max"},
            ["callbacks.early_stopping: mode = 'max' takes the highest val_loss for the best"],
        ),
        (
            {"monitor": "accuracy", "mode": "min"},
            ["callbacks.early_stopping: mode = 'min' takes the lowest accuracy for the best"],
        ),
    ],
    ids=str,
)
def test_a_direction_that_contradicts_what_is_watched_is_named(
    overrides: dict[str, str], said: list[str]
) -> None:
    recipe = complete(mlplab.recipe("quickstart", callbacks={"early_stopping": overrides}))
    found = monitors.contradictions(recipe.callbacks)
    assert [line.partition(";")[0] for line in found] == said
