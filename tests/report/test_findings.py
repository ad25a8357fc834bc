import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mlplab import recipes
from mlplab.report.findings import findings
from mlplab.runs.record import Finding, Record, Source, TrainingImages
from mlplab.statistics.metrics import wilson

NAMES = [str(digit) for digit in range(10)]
TABLES: dict[str, Any] = {
    "model": {"name": "mlp", "hidden": [64, 32], "dropout": 0.2},
    "optimizer": {"name": "adam", "learning_rate": 1e-3},
    "training": {"epochs": 100},
    "callbacks": {"stop": {"name": "EarlyStopping", "patience": 3}},
}
RECIPE = recipes.validate(TABLES)
SHORT = recipes.validate({**TABLES, "training": {"epochs": 3}})
LIMIT_5 = recipes.validate({**TABLES, "training": {"epochs": 5}})
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
    accuracy=[0.3, 0.5, 0.7, 0.75, 0.8],
    val_accuracy=[0.4, 0.5, 0.5, 0.5, 0.5],
)
HEALTHY = history(
    loss=[2.0, 1.0, 0.5, 0.30, 0.299],
    val_loss=[1.8, 1.0, 0.55, 0.349, 0.35],
    accuracy=[0.3, 0.6, 0.8, 0.92, 0.93],
    val_accuracy=[0.4, 0.6, 0.8, 0.91, 0.91],
)


def evaluated(train: float, validation: float, count: int = 5_000) -> dict[str, Any]:
    """Metrics of both splits."""
    low, high = wilson(round(validation * count), count)
    return {
        "train": {"accuracy": train, "n": 9 * count},
        "validation": {
            "accuracy": validation,
            "accuracy_low": low,
            "accuracy_high": high,
            "n": count,
        },
    }


def seen(*by_class: int, deviation: float = 64.0) -> TrainingImages:
    """Facts about training images."""
    count = sum(by_class)
    return TrainingImages(
        count=count,
        validation=count // 9,
        by_class=list(by_class),
        pixel_mean=120.0,
        pixel_deviation=deviation,
    )


def cause(record: Record, rows: Rows, **tables: Any) -> tuple[str, str]:
    """The kind of the first finding, and its first override."""
    found = findings(record, rows, recipes.validate(TABLES | tables))
    return found[0].kind, (found[0].overrides or [""])[0]


def falling(epochs: int, to: float = 1.0) -> Rows:
    """Losses that fall to the end, evenly."""
    loss = np.linspace(2.2, to, epochs)
    return history(loss=loss, val_loss=loss, accuracy=1 - loss / 2.4, val_accuracy=1 - loss / 2.4)


def flat(epochs: int, accuracy: float, **columns: ArrayLike) -> Rows:
    """A training that has come to rest."""
    loss = np.array([2.0, 1.5, *[1.2] * (epochs - 2)])
    given = {"loss": loss, "val_loss": loss, **columns}
    return history(**given, accuracy=[accuracy] * epochs, val_accuracy=[accuracy] * epochs)


def test_overfitting_names_the_gap_and_the_epoch_at_which_validation_turned() -> None:
    found = only(findings(run(best_epoch=3, epochs=5), OVERFITTED, RECIPE), "overfitting")
    assert found.evidence["validation_loss_turned_epoch"] == 3
    assert found.evidence["gap"] == pytest.approx(0.2)
    assert "Since epoch 3" in found.text


def test_against_overfitting_more_images_come_first_then_moved_ones_then_dropout() -> None:
    record = run(best_epoch=3, epochs=5, image_shape=[32, 32, 3])
    data = {"name": "cifar10", "share": 0.2}
    assert cause(record, OVERFITTED, data=data) == ("overfitting", "data.share=1")
    assert cause(record, OVERFITTED) == ("overfitting", "augment.shift=2")
    assert cause(record, OVERFITTED, augment={"shift": 2}) == ("overfitting", "model.dropout=0.4")


def test_a_small_gap_calls_for_more_images_where_only_a_share_was_used() -> None:
    metrics = evaluated(0.83, 0.80)
    data = {"name": "cifar10", "share": 0.2}
    assert cause(run(metrics=metrics), HEALTHY, data=data) == ("overfitting", "data.share=1")
    assert kinds(findings(run(metrics=metrics), HEALTHY, RECIPE)) == []


def doubted(wrong: int, far: int) -> dict[str, Any]:
    """Wrong predictions on validation, and those whose label is far down the ranking."""
    return {"validation": {"images": far, "listed": [], "wrong": wrong, "far": far}}


def test_labels_are_called_random_where_mistakes_are_not_between_similar_classes() -> None:
    good, gap = evaluated(0.81, 0.80), evaluated(0.95, 0.80)
    noisy = run(metrics=good, label_candidates=doubted(1_000, 500))
    found = only(findings(noisy, HEALTHY, RECIPE), "noisy-labels")
    assert "50.0 % of the 1,000 validation images that are not recognised" in found.text
    assert found.overrides == []
    overfitted = run(metrics=gap, label_candidates=doubted(1_000, 500))
    assert cause(overfitted, HEALTHY) == ("noisy-labels", "model.dropout=0.4")
    untrained = {"metrics": evaluated(0.21, 0.20), "label_candidates": doubted(116, 61)}
    for record in (
        run(metrics=good, label_candidates=doubted(1_000, 300)),
        run(metrics=good, label_candidates=doubted(20, 12)),
        run(**untrained),
        run(**untrained, status="interrupted"),
    ):
        assert "noisy-labels" not in kinds(findings(record, HEALTHY, RECIPE))


def test_nothing_is_said_of_probabilities_where_nothing_was_learnt() -> None:
    for train, expected in ((0.1, False), (0.6, True)):
        metrics = evaluated(train, train)
        metrics["validation"] |= {"confidence": 0.95, "calibration_error": 0.3}
        found = findings(run(metrics=metrics, best_epoch=9), flat(9, train), RECIPE)
        assert ("calibration" in kinds(found)) is expected


def test_one_image_of_a_rare_class_says_nothing_about_it() -> None:
    for rare, expected in ((1, False), (20, True)):
        metrics = evaluated(0.99, 0.9, 100)
        metrics["validation"] |= {
            "balanced_accuracy": 0.5,
            "per_class": {"recall": [1.0, 0.0], "support": [100, rare]},
        }
        record = run(metrics=metrics, class_names=["a", "b"], images=seen(800, 5 * rare))
        found = findings(record, HEALTHY, RECIPE)
        assert ("imbalance" in kinds(found)) is expected
        assert ("weak-class" in kinds(found)) is expected


def test_rates_far_off_are_told_in_whole_numbers() -> None:
    low = flat(9, 0.1, learning_rate=[1e-7] * 9)
    found = only(findings(run(metrics=evaluated(0.1, 0.1)), low, RECIPE), "learning-rate")
    assert "rate of 1e-07 is 10,000 times lower than what is usual with adam" in found.text
    assert "Try `optimizer.learning_rate=0.001`." in found.text


def test_in_a_training_of_few_updates_nothing_is_advised_that_slows_learning_down() -> None:
    few = run(best_epoch=3, epochs=5, images=seen(60, 60))
    found = only(findings(few, OVERFITTED, RECIPE), "overfitting")
    assert found.overrides == []
    assert "there are 120" in found.text
    many = run(best_epoch=3, epochs=5, images=seen(3_000, 3_000))
    assert only(findings(many, OVERFITTED, RECIPE), "overfitting").overrides


def test_a_sparse_network_that_overfits_is_advised_to_be_sparser() -> None:
    sparse = {"name": "beta-lasso", "l1": 5e-5}
    assert cause(run(best_epoch=3), OVERFITTED, optimizer=sparse)[1] == "optimizer.l1=0.0001"


def test_losses_of_a_teachers_answers_are_not_compared_with_those_of_labels() -> None:
    taught = recipes.validate({**TABLES, "teacher": {"runs": ["large"]}})
    texts = [
        only(findings(run(best_epoch=3), OVERFITTED, recipe), "overfitting").text
        for recipe in (RECIPE, taught)
    ]
    assert ["is below" in text for text in texts] == [True, False]


def test_overfitting_prefers_the_evaluated_weights_to_the_curves() -> None:
    metrics = {
        "train": {"accuracy": 0.678},
        "test": {"accuracy": 0.444, "accuracy_high": 0.454, "n": 10_000},
    }
    record = run(best_epoch=3, selected_on="test", test_openings=11, metrics=metrics)
    text = only(findings(record, OVERFITTED, RECIPE), "overfitting").text
    assert "67.8 %" in text
    assert "44.4 % of the test images, a gap of 23.4 points" in text


def test_validation_on_the_test_split_is_called_by_its_name() -> None:
    record = run(selected_on="test", metrics=evaluated(0.9, 0.6))
    texts = [finding.text for finding in findings(record, OVERFITTED, RECIPE)]
    assert not any("validation images" in text for text in texts)


def test_one_epoch_is_too_early_to_call_it_overfitting() -> None:
    for epochs, shown in ((1, False), (4, True)):
        record = run(best_epoch=epochs, metrics=evaluated(0.7, 0.5))
        found = findings(record, OVERFITTED[:epochs], RECIPE)
        assert ("overfitting" in kinds(found)) is shown


def test_a_gap_while_validation_still_improves_calls_for_more_epochs() -> None:
    record = run(best_epoch=6, epochs=6, metrics=evaluated(0.8, 0.7))
    assert cause(record, falling(6), training={"epochs": 6}) == (
        "under-training",
        "training.epochs=12",
    )


@pytest.mark.parametrize(
    ("train", "validation", "count"), [(0.99, 0.92, 60), (1.0, 22 / 24, 24), (1.0, 0.97, 5_000)]
)
def test_a_gap_that_is_small_or_due_to_chance_is_no_overfitting(
    train: float, validation: float, count: int
) -> None:
    record = run(best_epoch=4, metrics=evaluated(train, validation, count))
    assert "overfitting" not in kinds(findings(record, OVERFITTED, RECIPE))


def test_validation_above_training_is_no_overfitting_whatever_the_losses_do() -> None:
    record = run(best_epoch=3, metrics=evaluated(0.42, 0.43))
    assert "overfitting" not in kinds(findings(record, OVERFITTED, RECIPE))


def test_a_healthy_run_has_nothing_to_find() -> None:
    assert findings(run(best_epoch=5, epochs=5), HEALTHY, LIMIT_5) == []


@pytest.mark.parametrize(
    ("optimizer", "advised"),
    [
        ({"name": "sgd", "learning_rate": 1000.0}, "optimizer.learning_rate=0.1"),
        (
            {"name": "sgd", "learning_rate": 10.0, "momentum": 0.9},
            "optimizer.learning_rate=0.01",
        ),
        ({"name": "adam", "learning_rate": 0.1}, "optimizer.learning_rate=0.001"),
    ],
)
def test_a_rate_that_is_far_too_high_is_replaced_by_a_usual_one(
    optimizer: dict[str, Any], advised: str
) -> None:
    record = run(best_epoch=9, metrics=evaluated(0.1, 0.1))
    found = cause(record, flat(9, 0.1), optimizer=optimizer)
    assert found == ("learning-rate", advised)


def test_a_rate_that_is_far_too_low_is_replaced_by_a_usual_one() -> None:
    record = run(best_epoch=9, metrics=evaluated(0.3, 0.3))
    slow = {"name": "adam", "learning_rate": 1e-6}
    found = cause(record, falling(9), optimizer=slow)
    assert found == ("learning-rate", "optimizer.learning_rate=0.001")


def test_the_rate_of_a_schedule_is_changed_where_it_is_set() -> None:
    record = run(best_epoch=9, metrics=evaluated(0.3, 0.3))
    schedule = {"name": "ExponentialDecay", "initial_learning_rate": 1e-6}
    rows = [{**row, "learning_rate": 1e-6} for row in falling(9)]
    assert cause(record, rows, schedule=schedule)[1] == "schedule.initial_learning_rate=0.001"


def gradients(*norms: float) -> dict[str, Any]:
    return {"layers": [{"layer": f"dense_{i}", "gradient_norm": n} for i, n in enumerate(norms)]}


def test_gradients_that_vanish_in_deep_sigmoid_layers_are_named() -> None:
    record = run(
        best_epoch=9, metrics=evaluated(0.2, 0.2), diagnostics=gradients(1e-5, 1e-4, 1e-2, 0.14)
    )
    model = {"name": "mlp", "hidden": [64] * 4, "activation": "sigmoid"}
    found = cause(record, flat(9, 0.2), model=model)
    assert found == ("vanishing-gradients", "model.activation=relu")


def test_weights_that_are_too_small_for_depth_are_named() -> None:
    record = run(
        best_epoch=9, metrics=evaluated(0.1, 0.1), diagnostics=gradients(1e-9, 1e-7, 1e-4, 0.1)
    )
    model = {"name": "mlp", "hidden": [64] * 4, "initialiser": "random_uniform"}
    found = cause(record, flat(9, 0.1), model=model)
    assert found == ("vanishing-gradients", "model.initialiser=he_normal")


def test_faint_images_are_to_be_scaled_by_their_own_statistics() -> None:
    images = seen(*[100] * 10, deviation=4.0)
    record = run(best_epoch=9, metrics=evaluated(0.5, 0.5), images=images)
    assert cause(record, flat(9, 0.5)) == ("scaling", "data.scaling=standard")
    standard = {"name": "cifar10", "scaling": "standard"}
    assert cause(record, flat(9, 0.5), data=standard)[0] != "scaling"


def test_few_updates_are_laid_to_the_batch_size() -> None:
    record = run(best_epoch=9, metrics=evaluated(0.3, 0.3), images=seen(*[100] * 10))
    training = {"epochs": 9, "batch_size": 5_000}
    found = only(
        findings(record, falling(9), recipes.validate({**TABLES, "training": training})),
        "few-steps",
    )
    assert found.overrides == ["training.batch_size=16"]
    assert "only 9 times" in found.text
    assert "1,000 of 1,000 images" in found.text


@pytest.mark.parametrize(
    ("tables", "advised"),
    [
        ({"model": {"name": "mlp", "l2": 0.1}}, "model.l2=0.001"),
        (
            {"optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 100.0}},
            "optimizer.weight_decay=0.01",
        ),
        ({"model": {"name": "mlp", "dropout": 0.8}}, "model.dropout=0.2"),
        ({"model": {"name": "mlp", "hidden": [8, 4]}}, "model.hidden=[32,32]"),
    ],
)
def test_a_network_that_does_not_fit_its_own_images_is_given_more_freedom(
    tables: dict[str, Any], advised: str
) -> None:
    record = run(best_epoch=3, metrics=evaluated(0.4, 0.4))
    assert cause(record, flat(9, 0.4), **tables) == ("underfitting", advised)


def test_the_users_own_network_is_only_advised_to_be_larger() -> None:
    own = recipes.validate({"model": {"name": "mine:network", "hidden": 128}})
    record = run(best_epoch=3, metrics=evaluated(0.4, 0.4))
    assert "larger network" in only(findings(record, flat(9, 0.4), own), "underfitting").text


def test_rare_classes_that_are_neglected_are_given_more_weight_once() -> None:
    metrics = evaluated(0.8, 0.78)
    metrics["validation"]["balanced_accuracy"] = 0.5
    record = run(best_epoch=9, metrics=metrics, images=seen(1000, *[20] * 9))
    assert cause(record, flat(9, 0.8)) == ("imbalance", "loss.class_weights=balanced")
    set_already = {"class_weights": "balanced"}
    assert cause(record, flat(9, 0.8), loss=set_already)[0] != "imbalance"


def test_guessing_is_the_share_of_the_largest_class() -> None:
    record = run(
        best_epoch=9, class_names=["a", "b"], metrics=evaluated(0.62, 0.62), images=seen(620, 380)
    )
    text = only(findings(record, flat(9, 0.62), RECIPE), "plateau").text
    assert "Nothing was learnt" in text
    assert "guessing the most frequent class gives 62.0 %" in text
    better = run(
        best_epoch=9, class_names=["a", "b"], metrics=evaluated(0.686, 0.68), images=seen(500, 500)
    )
    assert "Nothing" not in findings(better, flat(9, 0.686), RECIPE)[0].heading


def test_no_two_causes_are_given_for_one_run() -> None:
    record = run(best_epoch=9, metrics=evaluated(0.1, 0.1), diagnostics=gradients(0, 0, 0, 0.1))
    names = {"divergence", "learning-rate", "overfitting", "underfitting", "plateau"}
    found = kinds(findings(record, flat(9, 0.1), RECIPE))
    assert len(names & set(found)) <= 1


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
    found = only(findings(run(best_epoch=3), falling(3), SHORT), "under-training")
    assert found.overrides == ["training.epochs=10"]
    stopped = findings(run(best_epoch=3, status="interrupted"), falling(3), SHORT)
    assert "interrupted" in only(stopped, "under-training").text


def test_one_epoch_asks_for_more() -> None:
    once = {"training": {"epochs": 1}}
    record = run(best_epoch=1, metrics=evaluated(0.3, 0.3))
    assert cause(record, falling(1), **once) == ("under-training", "training.epochs=10")


def test_nothing_more_is_asked_of_a_network_that_makes_no_mistakes() -> None:
    record = run(best_epoch=12, metrics=evaluated(1.0, 1.0, 100))
    assert findings(record, falling(12), recipes.validate({"training": {"epochs": 12}})) == []


def test_a_plateau_says_since_when() -> None:
    record = run(best_epoch=3, metrics=evaluated(0.85, 0.80))
    found = only(findings(record, flat(10, 0.85), RECIPE), "plateau")
    assert found.evidence == {"since_epoch": 3, "idle_epochs": 7, "training_stalled": True}
    annealed = flat(10, 0.85, learning_rate=np.linspace(1e-3, 1e-5, 10))
    assert "plateau" not in kinds(findings(record, annealed, RECIPE))


def test_early_stopping_says_where_and_by_what() -> None:
    found = only(findings(run(best_epoch=3, epochs=5), OVERFITTED, RECIPE), "early-stopping")
    assert found.evidence == {"stopped_epoch": 5, "best_epoch": 3, "epoch_limit": 100}
    assert "`val_loss`" in found.text
    assert "early-stopping" not in kinds(findings(run(best_epoch=3, epochs=5), OVERFITTED, LIMIT_5))


def test_a_stop_by_the_users_own_callback_is_not_laid_to_early_stopping() -> None:
    own = recipes.validate({**TABLES, "callbacks": {"mine": {"name": "mine:Stop"}}})
    text = only(findings(run(best_epoch=5), OVERFITTED, own), "early-stopping").text
    assert "by a callback" in text
    assert "val_loss" not in text


def test_units_that_died_are_named_where_the_network_does_not_fit() -> None:
    layers = [{"layer": "dense", "dead_share": 0.7}, {"layer": "output", "dead_share": None}]
    record = run(best_epoch=9, metrics=evaluated(0.4, 0.4), diagnostics={"layers": layers})
    assert cause(record, flat(9, 0.4)) == ("dead-units", "model.activation=leaky_relu")
    fits = run(best_epoch=9, metrics=evaluated(0.99, 0.98), diagnostics={"layers": layers})
    assert "dead-units" not in kinds(findings(fits, flat(9, 0.98), RECIPE))


def test_a_start_from_other_data_is_not_suspected() -> None:
    facts: dict[str, Any] = {"recipe": "x", "config_id": "c", "seed": 0, "network": "mlp"}
    facts |= {"digest": "d", "parameters": 1, "flops_per_example": 1, "seconds": 1.0}
    facts |= {"accuracy": {}, "selected_on": "validation", "validation_seen": None}
    for data_id, shown in (("same", True), ("other", False)):
        source = Source(role="model.init_from", run="first", data_id=data_id, **facts)
        found = findings(run(data_id="same", sources=[source]), [], RECIPE)
        assert ("flattered-validation" in kinds(found)) is shown


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


def test_of_a_run_that_ended_before_its_first_epoch_nothing_is_claimed() -> None:
    fast = recipes.validate({**TABLES, "optimizer": {"name": "adam", "learning_rate": 1.0}})
    for status in ("interrupted", "failed", "running"):
        assert findings(run(status=status), [], fast) == []


def test_an_empty_record_has_no_findings() -> None:
    assert findings(run(class_names=[]), [], RECIPE) == []
    assert findings(run(class_names=[]), [{}], RECIPE) == []
