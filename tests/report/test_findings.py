import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mlplab import recipes
from mlplab.report.findings import findings
from mlplab.runs.record import Finding, Record

NAMES = [str(digit) for digit in range(10)]
TABLES: dict[str, Any] = {
    "model": {"name": "mlp", "hidden": [64, 32], "dropout": 0.2},
    "optimizer": {"name": "adam", "learning_rate": 1e-3},
    "training": {"epochs": 100},
    "callbacks": {"stop": {"name": "EarlyStopping", "patience": 3}},
}
RECIPE = recipes.validate(TABLES)
SHORT = recipes.validate({**TABLES, "training": {"epochs": 3}})
Rows = list[dict[str, Any]]


def history(**columns: ArrayLike) -> Rows:
    values = {key: np.asarray(column, float).tolist() for key, column in columns.items()}
    rows = zip(*values.values(), strict=True)
    return [
        {"epoch": epoch, **dict(zip(values, row, strict=True))}
        for epoch, row in enumerate(rows, start=1)
    ]


def run(**facts: Any) -> Record:
    facts = {"status": "finished", "class_names": NAMES, **facts}
    return Record(name="x", recipe="x", config_id="c0ffee", seed=0, **facts)


def kinds(found: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def only(found: Sequence[Finding], kind: str) -> Finding:
    (finding,) = [finding for finding in found if finding.kind == kind]
    json.dumps(finding.model_dump(), allow_nan=False)
    assert finding.heading
    # What can be tried is shown as code, and is a sound override of the recipe.
    for override in finding.overrides:
        assert f"`{override}`" in finding.text
        recipes.validate(recipes.override(TABLES, [recipes.parse_override(override)]))
    return finding


OVERFITTED = history(
    loss=[2.0, 1.5, 1.2, 0.9, 0.6],
    val_loss=[1.8, 1.6, 1.5, 1.6, 1.8],
    accuracy=[0.3, 0.5, 0.6, 0.7, 0.8],
    val_accuracy=[0.4, 0.5, 0.55, 0.55, 0.54],
)
CROSSED = history(
    loss=[2.0, 1.5, 1.2, 0.9, 0.6],
    val_loss=[1.8, 1.6, 1.5, 1.5, 1.5],
    accuracy=[0.3, 0.5, 0.6, 0.7, 0.8],
    val_accuracy=[0.4, 0.5, 0.55, 0.55, 0.55],
)
HEALTHY = history(
    loss=[2.0, 1.0, 0.5, 0.30, 0.299],
    val_loss=[1.8, 1.0, 0.55, 0.349, 0.35],
    accuracy=[0.3, 0.6, 0.8, 0.92, 0.93],
    val_accuracy=[0.4, 0.6, 0.8, 0.91, 0.91],
)


def test_overfitting_names_the_gap_and_the_epoch_at_which_validation_turned() -> None:
    found = only(findings(run(best_epoch=3, epochs=5), OVERFITTED, RECIPE), "overfitting")
    assert found.evidence["opened_epoch"] == 3
    assert found.evidence["gap"] == pytest.approx(0.05)
    assert found.evidence["gap_last_epoch"] == pytest.approx(0.26)
    assert "Since epoch 3" in found.text
    assert "model.dropout=0.4" in found.text


def test_a_sparse_network_that_overfits_is_advised_to_be_sparser() -> None:
    recipe = recipes.validate({**TABLES, "optimizer": {"name": "beta-lasso", "l1": 5e-5}})
    found = only(findings(run(best_epoch=3, epochs=5), OVERFITTED, recipe), "overfitting")
    assert "optimizer.l1=0.0001" in found.text


def test_losses_of_a_teachers_answers_are_not_compared_with_those_of_labels() -> None:
    taught = recipes.validate({**TABLES, "teacher": {"runs": ["large"]}})
    texts = [
        only(findings(run(best_epoch=5, epochs=5), CROSSED, recipe), "overfitting").text
        for recipe in (RECIPE, taught)
    ]
    assert ["is below" in text for text in texts] == [True, False]


def test_overfitting_prefers_the_evaluated_weights_to_the_curves() -> None:
    metrics = {
        "train": {"accuracy": 0.678},
        "test": {"accuracy": 0.544, "accuracy_high": 0.554},
    }
    record = run(best_epoch=4, selected_on="test", test_openings=11, metrics=metrics)
    flat = history(
        loss=[1.8, 1.4, 1.2, 1.1],
        val_loss=[1.7, 1.42, 1.35, 1.34],
        accuracy=[0.4, 0.5, 0.56, 0.6],
        val_accuracy=[0.4, 0.5, 0.53, 0.544],
    )
    text = only(findings(record, flat, RECIPE), "overfitting").text
    assert "67.8 %" in text
    assert "54.4 % of the test images, a gap of 13.4 points" in text
    assert "below the test loss from epoch 2 on" in text


def test_one_epoch_is_too_early_to_call_it_overfitting() -> None:
    metrics = {
        "train": {"accuracy": 0.7},
        "validation": {"accuracy": 0.5, "accuracy_high": 0.51},
    }
    for epochs, shown in ((1, False), (2, True)):
        found = findings(run(best_epoch=epochs, metrics=metrics), OVERFITTED[:epochs], RECIPE)
        assert ("overfitting" in kinds(found)) is shown


def test_a_gap_within_the_noise_of_few_images_is_no_overfitting() -> None:
    metrics = {
        "train": {"accuracy": 0.99},
        "validation": {"accuracy": 0.92, "accuracy_high": 0.995},
    }
    assert "overfitting" not in kinds(findings(run(best_epoch=4, metrics=metrics), HEALTHY, RECIPE))


def test_a_healthy_run_has_nothing_to_find() -> None:
    assert findings(run(best_epoch=5, epochs=5), HEALTHY, SHORT) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_loss_that_is_no_number_is_divergence_and_nothing_else_about_the_curves(
    bad: float | None,
) -> None:
    rows = [*OVERFITTED[:3], {**OVERFITTED[3], "loss": bad}]
    (found,) = findings(run(status="diverged"), rows, RECIPE)
    assert (found.kind, found.evidence["epoch"]) == ("divergence", 4)
    assert "optimizer.learning_rate=0.0001" in found.text


def test_a_loss_far_above_guessing_is_divergence() -> None:
    rows = history(loss=[2.4, 2.5, 40.0], accuracy=[0.1, 0.1, 0.1])
    assert only(findings(run(), rows, RECIPE), "divergence").evidence["epoch"] == 3


def test_divergence_before_the_first_row_is_reported_too() -> None:
    assert kinds(findings(run(status="diverged"), [], RECIPE)) == ["divergence"]


def test_a_loss_still_falling_at_the_end_asks_for_more_epochs() -> None:
    rows = history(
        loss=[2.0, 1.8, 1.6],
        val_loss=[2.0, 1.8, 1.6],
        accuracy=[0.2, 0.3, 0.4],
        val_accuracy=[0.2, 0.3, 0.4],
    )
    found = only(findings(run(best_epoch=3), rows, SHORT), "under-training")
    assert "training.epochs=6" in found.text
    assert found.evidence["fall"] == pytest.approx(1 / 9)
    interrupted = only(
        findings(run(best_epoch=3, status="interrupted"), rows, SHORT), "under-training"
    )
    assert "interrupted" in interrupted.text


def test_a_network_that_does_not_fit_its_own_images_underfits() -> None:
    rows = history(
        loss=[1.9, 1.7, 1.7],
        val_loss=[1.9, 1.7, 1.7],
        accuracy=[0.3, 0.4, 0.4],
        val_accuracy=[0.3, 0.4, 0.4],
    )
    found = findings(
        run(best_epoch=3), rows, recipes.validate({"model": {"name": "mlp", "hidden": [8, 4]}})
    )
    assert "`model.hidden=[16,8]`" in only(found, "under-training").text
    own = recipes.validate({"model": {"name": "mine:network", "hidden": 128}})
    assert "larger network" in only(findings(run(best_epoch=3), rows, own), "under-training").text


def stalled(**columns: ArrayLike) -> Rows:
    flat = np.array([2.0, 1.5, *[1.2] * 8])
    given = {"loss": flat, "val_loss": flat, "accuracy": np.full(10, 0.6), **columns}
    return history(**given, val_accuracy=np.full(10, 0.5))


def test_a_plateau_distinguishes_stalled_training_from_idle_validation() -> None:
    both = only(findings(run(best_epoch=3), stalled(), RECIPE), "plateau")
    assert both.evidence == {"since_epoch": 3, "idle_epochs": 7, "training_stalled": True}
    falling = stalled(loss=np.linspace(2, 0.5, 10))
    validation = only(findings(run(best_epoch=3), falling, RECIPE), "plateau")
    assert not validation.evidence["training_stalled"]


def test_rest_is_no_plateau_where_everything_is_fitted_or_the_rate_was_brought_down() -> None:
    fitted = stalled(accuracy=np.full(10, 0.99))
    annealed = stalled(learning_rate=np.linspace(1e-3, 1e-5, 10))
    for rows in (fitted, annealed):
        assert "plateau" not in kinds(findings(run(best_epoch=3), rows, RECIPE))


def test_a_network_at_chance_has_learnt_nothing() -> None:
    rows = history(loss=[2.31, 2.30, 2.30], accuracy=[0.1, 0.1, 0.1])
    assert "Nothing was learnt" in only(findings(run(), rows, RECIPE), "plateau").text


def test_early_stopping_says_where_and_how_to_be_more_patient() -> None:
    found = only(findings(run(best_epoch=3, epochs=5), OVERFITTED, RECIPE), "early-stopping")
    assert found.evidence == {"stopped_epoch": 5, "best_epoch": 3, "epoch_limit": 100}
    assert "callbacks.stop.patience=6" in found.text
    ended = findings(
        run(best_epoch=3, epochs=5), OVERFITTED, recipes.validate({"training": {"epochs": 5}})
    )
    assert "early-stopping" not in kinds(ended)


def test_dead_units_are_named_by_layer() -> None:
    layers = [
        {"layer": "dense", "dead_share": 0.25},
        {"layer": "dense_1", "dead_share": 0.05},
        {"layer": "output", "dead_share": None},
    ]
    found = only(findings(run(diagnostics={"layers": layers}), [], RECIPE), "dead-units")
    assert found.evidence == {"dense_dead_share": 0.25}
    assert "25.0 % of dense." in found.text


def test_choosing_on_test_is_said_with_its_figure() -> None:
    record = run(selected_on="test", test_openings=11, metrics={"test": {"accuracy": 0.544}})
    text = only(findings(record, [], RECIPE), "tested-on-selection").text
    assert "54.4 %" in text
    assert "11 times" in text
    assert "data.validation=0.1" in text


def judged(**metrics: Any) -> list[Finding]:
    base = {"accuracy": 0.54, "accuracy_low": 0.53, "accuracy_high": 0.55}
    return findings(run(metrics={"validation": {**base, **metrics}}), [], RECIPE)


def test_confidence_is_compared_with_accuracy() -> None:
    over = only(judged(calibration_error=0.12, confidence=0.66), "calibration").text
    under = only(judged(calibration_error=0.12, confidence=0.42), "calibration").text
    assert "over-confident" in over
    assert "loss.label_smoothing" in over
    assert "under-confident" in under
    assert judged(calibration_error=0.12, confidence=0.545) == []
    assert judged(calibration_error=0.04, confidence=0.58) == []


def test_the_weak_class_is_named_with_what_it_is_taken_for() -> None:
    recall = [0.6] * 10
    recall[3] = 0.3
    per_class = {
        "recall": recall,
        "support": [500] * 10,
        "confused_with": [0] * 3 + [5] + [0] * 6,
        "confused_share": [0.1] * 3 + [0.25] + [0.1] * 6,
    }
    found = only(judged(per_class=per_class), "weak-class")
    assert found.evidence["class"] == "3"
    assert "most often mistaken for 5 (25.0 %)" in found.text
    assert judged(per_class={**per_class, "support": [3] * 10}) == []


def test_an_empty_record_has_no_findings() -> None:
    assert findings(run(class_names=[]), [], RECIPE) == []
    assert findings(run(class_names=[]), [{}], RECIPE) == []
