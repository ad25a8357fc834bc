"""Runs as programs of plain Keras: each is written, and executed."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from tests.helpers import train
from typer.testing import CliRunner

import mlplab
from mlplab.cli.app import app
from mlplab.errors import RunError, UserError
from mlplab.experiment.complete import complete
from mlplab.experiment.prepare import Experiment, prepare
from mlplab.optim.optimizers import OPTIMIZERS
from mlplab.plain import optimization, program, refusals
from mlplab.plain.facts import Facts
from mlplab.plain.networks import FAMILIES
from mlplab.recipes import networks

NARROW: dict[str, dict[str, Any]] = {
    "linear": {"l2": 1e-4, "pool": 2},
    "mlp": {"hidden": [12, 8], "normalisation": "batch", "dropout": 0.1, "l1": 1e-5, "l2": 1e-5},
    "residual-mlp": {"width": 12, "blocks": 2, "expansion": 2, "dropout": 0.1},
    "linear-bottleneck": {"hidden": [16, 16], "bottleneck": 6, "whitening": 20},
    "s-fc": {"channels": 1, "whitening": 20, "whitening_form": "zca"},
    "structured-init": {"channels": [4, 6], "depth": 2, "hidden": [8]},
    "cnn": {"channels": [4, 6], "depth": 3, "hidden": [8]},
    "lenet": {"dropout": 0.1},
    "resnet": {"depth": 8, "width": 4, "dropout": 0.1},
    "airnet": {"widths": [6, 8], "convolutions": 3},
    "convmixer": {"width": 8, "depth": 2, "kernel": 3, "initialiser": "he_normal"},
    "vit": {"patch": 4, "width": 12, "blocks": 2, "heads": 2, "expansion": 2},
    "mixer": {"patch": 4, "width": 12, "blocks": 2, "token_units": 6, "channel_units": 16},
    "pretrained": {"weights": "random", "image_size": 32, "trainable": 2},
}


@pytest.fixture(autouse=True)
def default_precision() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def prepared(model: dict[str, Any], **tables: Any) -> Experiment:
    given: dict[str, Any] = {
        "training": {"epochs": 1, "batch_size": 250},
        "callbacks": {"tensorboard": "none"},
    }
    recipe = mlplab.recipe("quickstart", model=model, **{**given, **tables})
    return prepare(recipe, None, False, lambda text: None)


def facts_of(experiment: Experiment) -> Facts:
    height, width, channels = experiment.splits.train.images.shape[1:]
    names = experiment.dataset.class_names
    return Facts("digits", experiment.recipe, (height, width, channels), names)


def formatted(text: str) -> str:
    """Return what ruff would change, nothing if it is as ruff writes it."""
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout


def executed(text: str, folder: Path) -> dict[str, Any]:
    path = folder / "program.py"
    path.write_text(text, "utf-8")
    return runpy.run_path(str(path), run_name="__main__")


def test_every_family_has_a_form_in_plain_keras() -> None:
    assert set(FAMILIES) == set(networks.FAMILIES) == set(NARROW)


# Those that take longest to compile.
SLOW = ("airnet", "convmixer", "mixer", "pretrained", "resnet", "vit")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.torture if name in SLOW else []) for name in NARROW],
)
def test_the_program_of_a_family_trains_a_network_of_its_size(name: str, tmp_path: Path) -> None:
    experiment = prepared({"name": name, **NARROW[name]})
    text = program.program(facts_of(experiment))
    assert formatted(text) == ""
    assert "mlplab" not in text
    found = executed(text, tmp_path)
    assert found["model"].count_params() == experiment.model.count_params()
    assert np.isfinite(found["history"].history["loss"]).all()
    for split, known in (("train", "train"), ("val", "validation"), ("test", "test")):
        wanted = getattr(experiment.splits, known)
        np.testing.assert_array_equal(found[f"x_{split}"], wanted.images)
        np.testing.assert_array_equal(found[f"y_{split}"], wanted.labels)


OPTIMIZER_KEYS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"global_clipnorm": 1.0, "weight_decay": 1e-4, "beta_2": 0.99, "epsilon": 1e-5},
    "BetaLasso": {"l1": 1e-4, "first_l1": 2e-4, "learning_rate": 0.1},
    "Muon": {"ns_steps": 3, "rms_rate": "none", "adam_lr_ratio": 0.1},
}


# Those that have a form of their own; `make torture` runs the others too, which differ in name.
SPECIAL = ("SGD", "Adam", "BetaLasso", "Muon")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SPECIAL else pytest.mark.torture)
        for name in OPTIMIZERS
    ],
)
def test_every_optimizer_has_a_form_in_plain_keras(name: str, tmp_path: Path) -> None:
    family = "cnn" if name == "Muon" else "mlp"
    experiment = prepared(
        {"name": family, **NARROW[family]},
        optimizer={"name": name, **OPTIMIZER_KEYS.get(name, {})},
    )
    text = program.program(facts_of(experiment))
    assert formatted(text) == ""
    found = executed(text, tmp_path)
    ours, plain = experiment.trained.optimizer, found["model"].optimizer
    known = {**vars(plain), **plain.get_config()}
    apart = {key for key, value in ours.get_config().items() if value != known[key]}
    assert not apart - {"name", "exclude_layers"}
    assert np.isfinite(found["history"].history["loss"]).all()


@pytest.mark.parametrize("name", ["BetaLasso", "Muon"])
def test_an_optimizer_that_is_written_out_takes_the_same_steps(name: str) -> None:
    source = {"BetaLasso": optimization.BETA_LASSO, "Muon": optimization.MUON}[name]
    known: dict[str, Any] = {"keras": keras}
    exec(source, known)
    options = {"l1": 1e-3, "first_l1": 2e-3} if name == "BetaLasso" else {}
    values = []
    for cls in (OPTIMIZERS[name], known[name]):
        random = np.random.default_rng(0)
        shapes = [(3, 3, 2, 4), (6, 5), (5,)]
        variables = [keras.Variable(random.normal(size=shape)) for shape in shapes]
        optimizer = cls(learning_rate=0.1, **options)
        for _ in range(3):
            gradients = [keras.ops.convert_to_tensor(random.normal(size=s)) for s in shapes]
            optimizer.apply(gradients, variables)
        values.append([np.asarray(variable) for variable in variables])
    for ours, plain in zip(*values, strict=True):
        np.testing.assert_allclose(plain, ours, atol=1e-5)


TRAININGS: dict[str, dict[str, Any]] = {
    "warmup": {
        "schedule": {"name": "WarmupCosine", "warmup_epochs": 0.5},
        "training": {"epochs": 2, "precision": "bfloat16", "batch_size": 250},
        "average": {"momentum": 0.9},
        "loss": {"label_smoothing": 0.1, "class_weights": "balanced"},
        "evaluation": {"tta_flip": True, "tta_shift": 1},
    },
    "of Keras": {
        "schedule": {"name": "CosineDecay", "warmup_target": 0.01, "warmup_steps": 2},
        "augment": {"flip": "alternating", "shift": 1, "cutout": 3},
        "evaluation": {"tta_flip": True},
        "callbacks": {
            "early_stopping": {"patience": 3, "min_delta": 0.01},
            "rows": {"name": "CSVLogger"},
            "nan": {"name": "TerminateOnNaN"},
        },
    },
    "mixed": {
        "augment": {
            "flip": "random",
            "crop_resize": 0.5,
            "rotation": 10.0,
            "colour": 0.2,
            "mixup": 0.2,
            "cutmix": 1.0,
        },
        "optimizer": {"name": "ScheduleFreeAdamW", "learning_rate": 0.01},
        "loss": {"class_weights": [float(label % 2 + 1) for label in range(10)]},
        "callbacks": {
            "early_stopping": "none",
            "plateau": {"name": "ReduceLROnPlateau", "patience": 2},
        },
    },
    "some": {
        "data": {"classes": ["3", "8", "9"], "share": 0.5, "scaling": "standard"},
        "augment": {"cutmix": 1.0},
        "callbacks": {
            "early_stopping": "none",
            "rate": {"name": "LearningRateScheduler", "table": [[1, 1e-3], [2, 1e-4]]},
            "tensorboard": {"name": "TensorBoard", "histogram_freq": 5},
        },
    },
    "on test": {"data": {"validation": "test", "scaling": "unit"}, "augment": {"mixup": 0.2}},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_program_of_a_training_reads_as_python_and_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = prepared({"hidden": [16]}, **TRAININGS[name])
    text = program.program(facts_of(experiment))
    assert formatted(text) == ""
    found = executed(text, tmp_path)
    assert np.isfinite(found["history"].history["val_loss"]).all()
    np.testing.assert_array_equal(found["x_train"], experiment.splits.train.images)
    np.testing.assert_array_equal(found["y_val"], experiment.splits.validation.labels)


def test_the_program_of_a_run_reaches_its_accuracy(tmp_path: Path) -> None:
    recipe = mlplab.recipe("quickstart", callbacks={"tensorboard": "none"})
    run = train(recipe, tmp_path, "small")
    path = mlplab.load_run("small", tmp_path).export("keras", tmp_path / "small.py")
    assert f"validation: {100 * run.metrics['validation']['accuracy']:.1f} %" in path.read_text()
    again = str(tmp_path / "again.py")
    given = ["export", "small", "--format", "keras", "--out", again, "--runs-dir", str(tmp_path)]
    assert json.loads(CliRunner().invoke(app, [*given, "--json"]).stdout) == {"file": again}
    found = runpy.run_path(again)
    for split, array in (("validation", "val"), ("test", "test")):
        said = found["model"].predict(found[f"x_{array}"], verbose=0).argmax(axis=1)
        known = run.metrics[split]
        reached = np.mean(said == found[f"y_{array}"])
        assert known["accuracy_low"] <= reached <= known["accuracy_high"]
    with pytest.raises(RunError, match="already exists; choose another path"):
        program.write(run, path)
    with pytest.raises(UserError, match="'onxn' is not a format: 'onnx' or 'keras'"):
        mlplab.load_run("small", tmp_path).export("onxn")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("roles", "classes"),
    [(["train", "test"], []), (["train", "val", "test"], []), ([""], []), ([""], ["dogs", "owls"])],
)
def test_the_program_of_own_images_reads_and_splits_them_alike(
    roles: list[str], classes: list[str], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for role in roles:
        for name in ("cats", "dogs", "owls"):
            folder = tmp_path / "photos" / role / name
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = random.integers(0, 256, (10, 14, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos" / roles[0] / "cats" / "damaged.png").write_bytes(b"no image")
    data = {"name": "folder", "path": str(tmp_path / "photos"), "image_size": 8, "classes": classes}
    small: dict[str, Any] = {"model": {"hidden": [4]}, "training": {"epochs": 1}}
    recipe = mlplab.recipe("quickstart", callbacks={"tensorboard": "none"}, data=data, **small)
    run = train(recipe, tmp_path, "own")
    text = program.program(program.of_run(run))
    assert formatted(text) == ""
    found = executed(text, tmp_path)
    splits = prepare(recipe, None, False, lambda text: None).splits
    for array, split in (
        ("train", splits.train),
        ("val", splits.validation),
        ("test", splits.test),
    ):
        np.testing.assert_array_equal(found[f"x_{array}"], split.images)
        np.testing.assert_array_equal(found[f"y_{array}"], split.labels)


@pytest.mark.parametrize(
    ("tables", "part"),
    [
        ({"model": {"init_from": "other"}}, "starts from the weights of other"),
        ({"teacher": {"runs": ["other"]}}, "the networks of other runs"),
        ({"training": {"resizing": [[1, 2]]}}, r"training\.resizing changes the resolution"),
        ({"callbacks": {"mine": {"name": "mine:Own"}}}, r"callbacks\.mine is your own code"),
        ({"model": {"name": "mine:build"}}, "your own code, mine:build"),
    ],
)
def test_what_plain_keras_does_not_have_is_refused_in_one_line(
    tables: dict[str, Any], part: str
) -> None:
    with pytest.raises(RunError, match=part) as caught:
        refusals.check(mlplab.recipe("quickstart", **tables), 0)
    assert "\n" not in str(caught.value)


def test_a_run_that_repeated_epochs_is_refused() -> None:
    refusals.check(mlplab.recipe("quickstart", training={"on_divergence": "rewind"}), 0)
    with pytest.raises(RunError, match="repeated some of its epochs"):
        refusals.check(mlplab.recipe("quickstart"), 1)


def test_the_published_program_reads_like_a_keras_program(tmp_path: Path) -> None:
    recipe = complete(mlplab.recipe("published"))
    text = program.program(Facts("published", recipe, (32, 32, 3), tuple("0123456789")))
    assert formatted(text) == ""
    for line in (
        "(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()",
        "for units in [1024] * 4:",
        '    x = layers.Dense(units, activation="relu")(x)',
        "    x = layers.Dropout(0.2)(x)",
        "    optimizer=keras.optimizers.Adam(learning_rate=0.0001),",
        "x_val, y_val = x_test, y_test",
    ):
        assert f"\n{line}\n" in text


@pytest.mark.parametrize("name", mlplab.recipes.names())
def test_shipped_recipes_are_written_or_refused(name: str) -> None:
    recipe = complete(mlplab.recipe(name))
    try:
        refusals.check(recipe, 0)
    except RunError:
        assert recipe.teacher or getattr(recipe.model, "init_from", None)
        return
    text = program.program(Facts(name, recipe, (32, 32, 3), tuple("0123456789")))
    assert formatted(text) == ""
    compile(text, name, "exec")
