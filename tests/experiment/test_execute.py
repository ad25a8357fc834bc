"""A run from recipe to report, on scikit-learn's digits."""

import json
import os
import shutil
import signal
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers import train

import mlplab
from mlplab import recipes
from mlplab.errors import DataError, RecipeError, RunError, StorageError
from mlplab.experiment import environment, inference
from mlplab.experiment.networks import load_network
from mlplab.runs import ledger, store
from mlplab.runs.run import Run
from mlplab.training.plan import NoProgress

SHORT: dict[str, Any] = {"training": {"epochs": 3}, "model": {"hidden": [32], "dropout": 0.2}}


@pytest.fixture
def run(finished: Run) -> Run:
    return finished


def test_a_finished_run_has_every_file_of_the_contract(run: Run) -> None:
    paths = [path for path in run.folder.rglob("*.*") if not path.name.startswith(".")]
    files = {path.relative_to(run.folder).as_posix() for path in paths}
    expected = {"recipe.toml", "record.json", "metrics.jsonl", "model.keras", "report.html"}
    expected |= {f"predictions-{split}.npz" for split in ("train", "validation", "test")}
    assert expected <= files
    pictures = {
        "sample_grid",
        "curves",
        "weights",
        "confusion_matrix-test",
        "per_class_accuracy-test",
    }
    pictures |= {"calibration-test", "confident_mistakes-test"}
    assert {f"figures/{name}.png" for name in pictures} <= files
    assert (run.folder / "tensorboard" / "train").is_dir()
    assert set(run.record.files) == files - {"record.json"} | {
        path for path in run.record.files if path.startswith("tensorboard/")
    }


def test_the_record_says_what_happened(run: Run) -> None:
    record = run.record
    assert record.status == "finished"
    assert record.parameters == 64 * 32 + 32 + 32 * 10 + 10
    assert record.flops_per_example == 2 * record.parameters
    assert (record.epochs, record.seed, record.selected_on) == (3, 0, "validation")
    assert record.test_openings == 1
    assert record.ledger == {"openings": 1, "configurations": 1}
    assert record.diagnostics is not None
    layers = record.diagnostics["layers"]
    assert [layer["gradient_norm"] > 0 for layer in layers] == [True, True]
    assert all(layer["update_ratio"] > 0 for layer in layers)
    test = record.metrics["test"]
    assert test["accuracy_low"] < test["accuracy"] < test["accuracy_high"]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]


def test_metrics_are_those_of_the_saved_predictions(run: Run) -> None:
    saved = run.predictions("test")
    right = saved["probabilities"].argmax(axis=1) == saved["labels"]
    assert run.metrics["test"]["accuracy"] == pytest.approx(right.mean())


def test_the_saved_network_takes_raw_images_and_predicts_the_same(run: Run) -> None:
    from mlplab import data

    dataset = data.load(run.recipe.data)
    predicted = load_network(run).predict(dataset.test.images, verbose=0)
    saved: Any = run.predictions("test")["probabilities"]
    np.testing.assert_allclose(predicted, saved, atol=1e-6)


def test_the_written_recipe_trains_again_to_the_same_bits(run: Run, tmp_path: Path) -> None:
    again = train(recipes.load(str(run.folder / "recipe.toml")), tmp_path)
    for mine, other in zip(again.history, run.history, strict=True):
        assert {**mine, "seconds": 0} == {**other, "seconds": 0}
    assert again.metrics == run.metrics
    assert again.record.config_id == run.record.config_id
    one, two = again.predictions("test"), run.predictions("test")
    np.testing.assert_array_equal(one["probabilities"], two["probabilities"])


def test_a_processor_without_bfloat16_is_advised_to_use_float32() -> None:
    note = environment.precision_note("bfloat16", ["fma", "avx2"])
    assert note is not None
    assert "training.precision=float32" in note
    assert environment.precision_note("bfloat16", ["avx2", "avx512_bf16"]) is None
    assert environment.precision_note("bfloat16", []) is None  # nobody says what it can do
    assert environment.precision_note("float32", ["fma", "avx2"]) is None


def test_a_network_trained_in_bfloat16_is_judged_as_it_is_saved(tmp_path: Path) -> None:
    from mlplab import data

    tables: dict[str, Any] = {
        "training": {"epochs": 3, "precision": "bfloat16"},
        "model": {"hidden": [32]},
    }
    recipe = mlplab.recipe("quickstart", **tables, optimizer={"learning_rate": 0.01})
    run = train(recipe, tmp_path)
    assert run.record.precision == "bfloat16"
    assert run.metrics["test"]["accuracy"] > 0.8
    predicted = load_network(run).predict(data.load(run.recipe.data).test.images, verbose=0)
    saved: Any = run.predictions("test")["probabilities"]
    np.testing.assert_allclose(predicted, saved, atol=1e-5)


def test_the_complete_recipe_has_every_default_of_keras(run: Run) -> None:
    tables = tomllib.loads((run.folder / "recipe.toml").read_text())
    assert tables["optimizer"]["name"] == "Adam"
    assert tables["optimizer"]["beta_1"] == 0.9
    assert tables["optimizer"]["clipnorm"] == "none"
    assert tables["callbacks"]["early_stopping"]["start_from_epoch"] == 0


def test_a_recipe_that_selects_on_test_opens_it_once_an_epoch(tmp_path: Path) -> None:
    recipe = mlplab.recipe("quickstart", **SHORT, data={"validation": "test"})
    record = train(recipe, tmp_path, test=None).record
    assert record.selected_on == "test"
    assert set(record.metrics) == {"train", "validation", "test"}
    assert record.test_openings == 3
    assert any(finding.kind == "tested-on-selection" for finding in record.findings)


def test_the_test_split_stays_closed_until_it_is_evaluated_later(tmp_path: Path) -> None:
    run = train(mlplab.recipe("quickstart", **SHORT), tmp_path, test=None)
    assert "test" not in run.metrics
    assert run.record.test_openings == 0
    assert not (tmp_path / "ledger.jsonl").exists()
    inference.evaluate(run, "test")
    assert run.record.test_openings == 1
    assert ledger.count(tmp_path, run.record.data_ids)["openings"] == 1


@pytest.mark.parametrize(("test", "opened"), [(None, True), (False, False)])
def test_a_recipe_that_names_test_opens_it_unless_told_not_to(
    test: bool | None, opened: bool, tmp_path: Path
) -> None:
    splits = {"splits": ["validation", "test"]}
    run = train(mlplab.recipe("quickstart", **SHORT, evaluation=splits), tmp_path, test=test)
    assert set(run.metrics) == ({"validation", "test"} if opened else {"validation"})
    assert run.record.test_openings == opened


def test_val_loss_is_what_is_minimised_and_the_loss_at_the_end_the_plain_one(
    tmp_path: Path,
) -> None:
    recipe = mlplab.recipe(
        "quickstart",
        model={"hidden": [16], "l2": 1e-3},
        loss={"label_smoothing": 0.2, "class_weights": [5.0, *[1.0] * 9]},
        training={"epochs": 2},
        callbacks={"early_stopping": "none", "tensorboard": "none"},
    )
    run = train(recipe, tmp_path)
    saved = run.predictions("validation")
    surprise = -np.log(saved["probabilities"].astype(float))
    plain = surprise[np.arange(len(surprise)), saved["labels"].astype(int)].mean()
    assert run.metrics["validation"]["loss"] == pytest.approx(plain, abs=1e-5)
    kernels = (weight for weight in load_network(run).get_weights() if weight.ndim == 2)
    penalty = 1e-3 * sum(float((kernel**2).sum()) for kernel in kernels)
    smoothed = 0.8 * plain + 0.2 * surprise.mean()
    assert run.history[-1]["val_loss"] == pytest.approx(smoothed + penalty, abs=1e-4)


class PressCtrlC(NoProgress):
    def on_row(self, row: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_run_that_can_be_evaluated(tmp_path: Path) -> None:
    recipe = mlplab.recipe("quickstart", **{**SHORT, "training": {"epochs": 50}})
    run = train(recipe, tmp_path, progress=PressCtrlC())
    assert run.record.status == "interrupted"
    assert run.record.epochs == 1
    assert "validation" in run.metrics
    assert "test" not in run.metrics
    assert inference.evaluate(run, "validation")["n"] == run.metrics["validation"]["n"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_that_diverges_is_recorded_with_its_reason(tmp_path: Path) -> None:
    recipe = mlplab.recipe("quickstart", **SHORT, optimizer={"name": "sgd", "learning_rate": 1e30})
    run = mlplab.train(recipe, runs_dir=tmp_path)
    assert run.record.status == "diverged"
    assert "learning rate" in str(run.record.reason)
    assert json.loads((run.folder / "metrics.jsonl").read_text())["loss"] is None
    assert (run.folder / "report.html").exists()


@pytest.mark.parametrize(
    "tables",
    [
        {"optimizer": {"name": "adamm"}},
        {"optimizer": {"beta_3": 0.9}},
        {"optimizer": {"learning_rate": "fast"}},
        {"schedule": {"name": "CosineDecai"}},
        {"loss": {"name": "crossentropy"}},
        {"loss": {"class_weights": [1.0, 2.0]}},
        {"callbacks": {"early_stopping": {"patiense": 3}}},
        {"callbacks": {"early_stopping": {"monitor": "val_los"}}},
        {"callbacks": {"log": {"name": "CSVLogger", "filename": "../../log.csv"}}},
        {"callbacks": {"swap": {"name": "SwapEMAWeights"}}},
        {"average": {"name": "ema"}, "callbacks": {"swap": {"name": "SwapEMAWeights"}}},
        {"average": {"name": "ema"}, "optimizer": {"use_ema": True}},
        {"average": {"name": "ema"}, "optimizer": {"name": "ScheduleFreeAdamW"}},
        {"model": {"activation": "rellu"}},
        {"evaluation": {"tta_shift": 8}},
        {"model": {"name": "os:system"}},
        {
            "schedule": {"name": "CosineDecay"},
            "callbacks": {"p": {"name": "ReduceLROnPlateau"}},
        },
    ],
    ids=str,
)
def test_a_wrong_recipe_is_refused_before_anything_is_written(
    tables: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError) as caught:
        mlplab.train(mlplab.recipe("quickstart", **tables), runs_dir=tmp_path / "runs")
    assert len(str(caught.value).splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


def test_a_runs_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--runs-dir"):
        mlplab.train(mlplab.recipe("quickstart", **SHORT), runs_dir=tmp_path / "file" / "runs")


def test_a_failure_while_training_is_recorded(tmp_path: Path) -> None:
    class Fails(NoProgress):
        def on_row(self, row: dict[str, float]) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="no space left"):
        train(mlplab.recipe("quickstart", **SHORT), tmp_path, progress=Fails())
    record = mlplab.load_run("last", tmp_path).record
    assert record.status == "failed"
    assert "no space left" in str(record.reason)


def test_evaluation_refuses_another_data_set(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run.folder, copy)
    record = run.record
    record.data_id = record.source_id = "sha256:0"
    store.write_record(copy, record)
    with pytest.raises(DataError, match="not the one that short was trained on"):
        inference.evaluate(Run(copy), "validation")


def test_a_damaged_network_is_named(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run.folder, copy)
    model = copy / "model.keras"
    model.write_bytes(model.read_bytes()[:500])
    with pytest.raises(RunError, match=r"model\.keras"):
        load_network(Run(copy))


def test_pictures_of_any_size_are_classified_and_unreadable_ones_named(
    run: Run, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGBA", (50, 31), "red").save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    good, bad = inference.predict(run, [tmp_path / "a.png", tmp_path / "b.jpg"])
    assert sum(good.probabilities) == pytest.approx(1, abs=1e-5)
    assert list(good.probabilities) == sorted(good.probabilities, reverse=True)
    assert bad.error is not None
    assert "b.jpg" in bad.error


OWN = """
    import keras

    class Count(keras.callbacks.Callback):
        def __init__(self, start=0):
            super().__init__()
            self.count = start

        def on_epoch_end(self, epoch, logs=None):
            self.count += 1
            logs["seen"] = float(self.count)

    def network(input_shape, classes, width=8):
        return keras.Sequential([
            keras.Input(input_shape), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
            keras.layers.Dense(width, "relu"), keras.layers.Dense(classes, "softmax"),
        ])
"""


def test_code_of_the_users_own_needs_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_code.py").write_text(textwrap.dedent(OWN))
    monkeypatch.chdir(tmp_path)
    tables: dict[str, Any] = {
        "model": {"name": "own_code:network", "width": 16},
        "callbacks": {"count": {"name": "own_code:Count", "start": 5}},
        "training": {"epochs": 2},
    }
    recipe = mlplab.recipe("quickstart", **tables)
    with pytest.raises(RecipeError, match="--trust"):
        mlplab.train(recipe)
    with pytest.raises(RecipeError, match="precision"):
        rounded = recipe.training.model_copy(update={"precision": "bfloat16"})
        mlplab.train(recipe.model_copy(update={"training": rounded}), trust=True)
    run = train(recipe, tmp_path / "runs", trust=True)
    assert run.record.parameters == 64 * 16 + 16 + 16 * 10 + 10
    assert load_network(run).count_params() == run.record.parameters


def test_the_published_network_has_6305802_parameters_on_the_real_images(
    cifar10_dir: Path, tmp_path: Path
) -> None:
    class Stop(NoProgress):
        def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    recipe = mlplab.recipe("published", data={"share": 0.02})
    run = train(recipe, tmp_path, progress=Stop(), data_dir=cifar10_dir, keep="results")
    assert run.record.parameters == 6_305_802
    assert run.record.flops_per_example == 12_611_604
    assert run.record.class_names[0] == "airplane"
    assert run.metrics["train"]["n"] == 1000


@pytest.mark.usefixtures("without_pictures")
def test_a_folder_of_uneven_classes_is_trained_with_balanced_weights(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, count, shade in (("dark <b>", 40, 60), ("light", 12, 190)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(shade - 50, shade + 50, (9, 14, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "photos" / "light" / "broken.png").write_bytes(b"no picture")
    recipe = mlplab.recipe(
        "quickstart",
        data={"name": "folder", "path": str(tmp_path / "photos"), "image_size": 8},
        loss={"class_weights": "balanced"},
        training={"epochs": 20},
    )
    run = mlplab.train(recipe, runs_dir=tmp_path / "runs", test=True)
    assert run.record.class_names == ["dark <b>", "light"]
    assert ["broken.png" in line for line in run.record.skipped] == [True]
    assert run.metrics["test"]["balanced_accuracy"] > 0.9
    page = (run.folder / "report.html").read_text()
    assert "dark &lt;b&gt;" in page
    assert "dark <b>" not in page


def test_a_run_that_ends_in_numbers_that_are_none_is_not_finished(tmp_path: Path) -> None:
    recipe = mlplab.recipe(
        "quickstart",
        optimizer={"name": "sgd", "learning_rate": 1e30},
        training={"epochs": 1, "batch_size": 5000},
        callbacks={"early_stopping": "none", "tensorboard": "none"},
    )
    record = train(recipe, tmp_path).record
    assert record.status == "diverged"
    assert record.test_openings == 0


def test_an_interrupted_run_does_not_look_at_the_test_split_in_secret(tmp_path: Path) -> None:
    class PressAtOnce(NoProgress):
        def on_steps(self, epoch: int, done: int, total: int, logs: dict[str, float]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    recipe = mlplab.recipe("quickstart", **SHORT, data={"validation": "test"})
    run = train(recipe, tmp_path, progress=PressAtOnce())
    assert run.record.status == "interrupted"
    assert set(run.metrics) == {"train"}
    assert run.record.test_openings == 0


def test_keeping_the_test_split_closed_is_refused_where_it_is_the_validation_split() -> None:
    recipe = mlplab.recipe("quickstart", data={"validation": "test"})
    with pytest.raises(RecipeError, match="--no-test"):
        mlplab.train(recipe, test=False)


def test_the_record_of_a_training_run_says_how_many_epochs_it_has(tmp_path: Path) -> None:
    class Look(NoProgress):
        def on_row(self, row: dict[str, float]) -> None:
            record = mlplab.load_run("last", tmp_path).record
            assert (record.status, record.epochs) == ("running", int(row["epoch"]))

    train(mlplab.recipe("quickstart", **SHORT), tmp_path, progress=Look())


def test_the_same_configuration_has_one_identity_however_it_is_spelt(tmp_path: Path) -> None:
    from mlplab.experiment.complete import complete

    spelt = {"model": {"activation": "ReLU"}, "loss": {"name": "SparseCategoricalCrossentropy"}}
    one, two = (complete(mlplab.recipe("published", **tables)) for tables in ({}, spelt))
    assert recipes.config_id(one) == recipes.config_id(two)


def test_the_samples_of_a_folder_are_of_all_its_classes() -> None:
    from mlplab.experiment import judge

    labels = np.repeat([0, 1], 700)
    assert set(labels[judge.sample(len(labels), 25)]) == {0, 1}
    assert sorted(judge.sample(5, 25)) == [0, 1, 2, 3, 4]


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_the_published_network_gives_the_same_bits_twice(cifar10_dir: Path, tmp_path: Path) -> None:
    recipe = mlplab.recipe("published-honest", training={"epochs": 1})
    runs = [train(recipe, tmp_path, data_dir=cifar10_dir) for _ in range(2)]
    one, two = (run.predictions("test")["probabilities"] for run in runs)
    np.testing.assert_array_equal(one, two)
    assert runs[0].metrics == runs[1].metrics
