"""Models, arrays, optimizers and callbacks of a program in the place of a recipe's tables."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import mlplab
from mlplab.data.given import Arrays, arrays
from mlplab.errors import DataError, RecipeError, UserError
from mlplab.models import fresh, given

pytestmark = pytest.mark.usefixtures("without_pictures")
L = keras.layers
WIDTH = 8


def digits(count: int = 300) -> Arrays:
    found = load_digits()
    x, y = found.images[:count] / 16, found.target[:count]
    return arrays(x[:200], y[:200], x_test=x[200:], y_test=y[200:])


def network(shape: tuple[int, ...], classes: int) -> keras.Model:
    layers = [L.Flatten(), L.Dense(WIDTH, "relu"), L.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input(shape), *layers])


class Counts(keras.callbacks.Callback):
    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.start = self.epochs = start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1


def train(folder: Path, **more: Any) -> mlplab.Run:
    tables: dict[str, Any] = {"training": {"epochs": 2}, "data": digits(), "model": network}
    return mlplab.train(runs_dir=folder, progress=None, **(tables | more))


def test_a_function_arrays_an_optimizer_and_a_callback_make_a_run(tmp_path: Path) -> None:
    counts = Counts()
    run = train(tmp_path, optimizer=keras.optimizers.Adam(3e-3), callbacks=[counts], test=True)
    assert counts.epochs == len(run.history) == 2
    assert run.recipe.optimizer.params["learning_rate"] == 3e-3
    assert run.record.metrics["test"]["n"] == 100
    assert run.record.data_title == "arrays"
    assert [layer["dead_share"] is None for layer in run.record.diagnostics["layers"]] == [
        False,
        True,
    ]
    source = (run.folder / "code" / "given" / "network.py").read_text()
    assert "L.Dense(WIDTH" in source
    # The network of the folder takes pixels; these are sixteenths, spread over 0 to 240.
    x = load_digits().images[200:300]
    answers = run.model()((x * 15).astype(np.uint8)[..., None], training=False)
    recorded = run.predictions("test")["probabilities"]
    assert np.allclose(answers, recorded, atol=1e-5)


def test_what_a_function_uses_belongs_to_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = train(tmp_path, training={"epochs": 1})
    again = train(tmp_path, training={"epochs": 1}, seed=1)
    monkeypatch.setitem(globals(), "WIDTH", 9)
    other = train(tmp_path, training={"epochs": 1})
    assert one.record.config_id == again.record.config_id != other.record.config_id
    assert one.record.parameters < other.record.parameters


def test_a_compiled_model_brings_optimizer_and_loss_and_stays_as_it_is(tmp_path: Path) -> None:
    layers = [L.Flatten(), L.Dense(8, "relu"), L.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    before = fresh.digest_of_weights(model)
    runs = [train(tmp_path, model=model, seed=seed) for seed in (0, 1)]
    assert fresh.digest_of_weights(model) == before
    assert runs[0].recipe.optimizer.params["momentum"] == 0.9
    assert runs[0].record.config_id == runs[1].record.config_id
    weights = [fresh.digest_of_weights(run.model()) for run in runs]
    assert weights[0] != weights[1]


def test_a_trained_model_goes_on_from_its_weights(tmp_path: Path) -> None:
    x, y = load_digits().images[:200] / 16, load_digits().target[:200]
    keras.utils.set_random_seed(0)
    model = network((8, 8), 10)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=20, verbose=0)
    run = train(tmp_path, model=model, optimizer=keras.optimizers.SGD(1e-6))
    assert run.history[0]["accuracy"] > 0.7  # a new network guesses


def test_names_of_layers_and_what_was_built_before_do_not_matter() -> None:
    names = []
    for _ in range(2):
        names.append(given.give_model(network((8, 8), 10)))
    first = given.find("model").sources
    assert names == ["given:model"] * 2
    given.give_model(network((8, 8), 10))
    assert given.find("model").sources == first
    assert [layer.name for layer in given.find("model").make().layers][1:] == ["dense", "dense_1"]


def test_an_interrupted_run_of_objects_is_resumed_with_the_same_objects(tmp_path: Path) -> None:
    class Stops(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1 and not (tmp_path / "stopped").exists():
                (tmp_path / "stopped").touch()
                os.kill(os.getpid(), signal.SIGINT)

    run = train(tmp_path, callbacks=[Stops()], name="one")
    assert run.record.status == "interrupted"
    given._given.clear()  # as in another process
    with pytest.raises(RecipeError, match="pass it again"):
        mlplab.resume("one", runs_dir=tmp_path, progress=None)
    objects: dict[str, Any] = {"model": network, "data": digits(), "callbacks": [Stops()]}
    resumed = mlplab.resume("one", runs_dir=tmp_path, progress=None, **objects)
    assert (resumed.record.status, len(resumed.history)) == ("finished", 2)


X, Y = load_digits().images[:50], load_digits().target[:50]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: arrays(X, Y[:40]), "50 images, but y 40 labels"),
        (lambda: arrays(X[:0], Y[:0]), "x is empty"),
        (lambda: arrays(X * np.nan, Y), "NaN"),
        (lambda: arrays(np.zeros((50, 2, 3, 4, 3)), Y), "no volumes"),
        (lambda: arrays(np.random.default_rng(0).normal(size=(50, 8, 8)), Y), "mlplab.fit"),
        (lambda: arrays(np.zeros((50, 7)), Y), "a table and no square images"),
        (lambda: arrays(X, Y + 0.5), "not whole numbers"),
        (lambda: arrays(X, Y, class_names=["a", "b"]), "0 to 1"),
        (lambda: mlplab.train(model=3), "model= is a int"),
        (lambda: mlplab.train(data=3), "data= is a int"),
        (lambda: mlplab.train(optimizer="sgd"), "optimizer= is a str"),
        (lambda: mlplab.train(callbacks=[3]), "callbacks= has a int"),
        (lambda: mlplab.train(model=keras.Sequential([L.Dense(3)])), "no weights yet"),
    ],
)
def test_bad_input_is_told_in_one_line(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


def test_arrays_of_another_process_have_to_be_passed_again(tmp_path: Path) -> None:
    from mlplab.data import given as known

    run = train(tmp_path, training={"epochs": 1})
    known._given.clear()
    with pytest.raises(DataError, match="pass the same arrays again"):
        run.evaluate()
    digits()
    assert run.evaluate("test")["n"] == 100
    opened = run.record.ledger
    run.evaluate()  # on validation, which is not counted
    assert run.record.ledger == opened


@pytest.mark.parametrize(("most", "white"), [(1, 255), (16, 240), (200, 200)])
def test_few_whole_numbers_are_spread_over_the_pixels_that_recipes_see(
    most: int, white: int
) -> None:
    x = np.zeros((4, 8, 8), int)
    x[0, 0] = most
    found = arrays(x, [0, 1, 0, 1])
    assert found.parts["train"].images.max() == white
    assert round(found.values.scale * white, 6) == most


@pytest.mark.parametrize("scale", [1 / 255, 1 / 16, 0.37])
def test_floating_point_that_was_scaled_is_read_back_without_loss(scale: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (60, 5, 5))
    x = (pixels * scale - 0.2 * (scale == 0.37)).astype(np.float32)
    found = arrays(x, np.arange(60) % 3)
    back = found.values.scale * found.parts["train"].images[..., 0] + found.values.offset
    assert np.allclose(back, x, atol=1e-6)
