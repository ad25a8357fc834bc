"""Networks that were trained before, by weights that the tests make themselves."""

import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import mlplab
from mlplab import data, models
from mlplab.errors import RecipeError, RunError
from mlplab.experiment import budget, execute, features, resume
from mlplab.experiment.options import Options
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.networks import pretrained
from mlplab.models.parts import FEATURES
from mlplab.recipes.networks.pretrained import Pretrained
from mlplab.runs.run import Run
from mlplab.training.plan import NoProgress

SIZE = 32


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a MobileNet, changed so that statistics of batch normalisation matter."""
    source = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), alpha=1.0
    )
    random = np.random.default_rng(0)
    source.set_weights([w + 0.05 * random.random(w.shape) for w in source.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    source.save_weights(path)
    return path


def build(
    channels: int = 3, network: str = "MobileNet", **options: Any
) -> tuple[keras.Model, Any, models.Task]:
    settings = Pretrained(network=network, image_size=SIZE, **options)
    task = models.Task((8, 8, channels), 3, scaling_layer("symmetric"), 0)
    return models.build(settings, task), settings, task


def preprocess_input(images: Any) -> Any:
    """As every module of ``keras.applications`` has one."""
    return images / 127.5 - 1


def tiny(input_tensor: Any, weights: None = None, include_top: bool = False) -> keras.Model:
    """A network as ``keras.applications`` has them, but for its size."""
    x = keras.layers.Conv2D(4, 3, strides=4, name="conv")(input_tensor)
    x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    outputs = keras.layers.Conv2D(6, 2, name="conv_last")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), outputs)


@pytest.fixture
def tiny_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of the network called Tiny, and a cache of features of this test's own."""
    monkeypatch.setitem(pretrained.NETWORKS, "Tiny", tiny)
    monkeypatch.setenv("MLPLAB_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "tiny.weights.h5"
    tiny(keras.Input((SIZE, SIZE, 3))).save_weights(path)
    return path


def test_its_features_are_those_of_keras_applications(weights: Path) -> None:
    model, settings, task = build(weights=str(weights))
    pretrained.load(model, settings, task)
    source = keras.applications.MobileNet(
        include_top=False, weights=str(weights), input_shape=(SIZE, SIZE, 3), pooling="avg"
    )
    images = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    large = keras.layers.Resizing(SIZE, SIZE)(images.astype(np.float32))
    prepared = keras.applications.mobilenet.preprocess_input(np.array(large))
    features = keras.Model(model.input, model.get_layer(FEATURES).output)
    expected, found = source.predict(prepared, verbose=0), features.predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", ["ResNet50", "DenseNet121", "MobileNetV2", "MobileNetV3Small"])
def test_pixels_are_scaled_as_the_network_is_used_to(network: str) -> None:
    function = pretrained.NETWORKS[network]
    images = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    settings = Pretrained(network=network, image_size=SIZE)
    prepared = keras.Model(images, pretrained._prepared(images, settings, function))
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    module = sys.modules[function.__module__]
    expected = module.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(prepared.predict(pixels, verbose=0), expected, atol=1e-3)


@pytest.mark.parametrize(("trainable", "trained"), [(0, 0), (1, 1), ("all", 13 * 2 + 1)])
def test_so_many_of_the_last_layers_are_trained(trainable: Any, trained: int) -> None:
    model, _, _ = build(trainable=trainable)
    inside = [layer for layer in model.layers if layer.trainable_weights and layer.name != "output"]
    assert len(inside) == trained
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in inside)


@pytest.mark.parametrize(("weights", "learnt"), [("random", True), ("imagenet", False)])
def test_normalisation_is_learnt_by_a_network_from_nothing_alone(
    weights: str, learnt: bool
) -> None:
    model, _, _ = build(trainable="all", weights=weights)
    normalising = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.trainable for layer in normalising} == {learnt}


def test_a_deep_network_fits_at_its_usual_size() -> None:
    recipe = mlplab.recipe(
        "quickstart",
        model={"name": "pretrained", "network": "DenseNet201", "image_size": 96},
    )
    parts = budget.needed(recipe, data.load(recipe.data))
    assert parts["activations"] < 4e9


def test_layers_have_the_same_names_in_every_process() -> None:
    """Keras numbers the layers of a network after those of all networks before it."""
    settings = Pretrained(network="Xception", image_size=71, weights="random")
    one, other = (
        [layer.name for layer in models.outline(settings, (8, 8, 3), 3).layers] for _ in range(2)
    )
    assert one == other


@pytest.mark.usefixtures("tiny_weights")
def test_grey_images_are_taken() -> None:
    model, _, _ = build(channels=1, network="Tiny", weights="random")
    assert model.predict(np.zeros((2, 8, 8, 1), np.uint8), verbose=0).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "MobilNet"}, "did you mean 'MobileNet'"),
        ({"network": "MobileNet", "weights": "nowhere.h5"}, "no file nowhere.h5"),
    ],
)
def test_what_is_not_there_is_named(options: dict[str, Any], message: str) -> None:
    settings = Pretrained(**{"image_size": SIZE, **options})
    task = models.Task((8, 8, 3), 3, scaling_layer("symmetric"), 0)
    with pytest.raises(RecipeError, match=message):
        pretrained.load(models.build(settings, task), settings, task)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(path)
    model, settings, task = build(weights=str(path))
    with pytest.raises(RecipeError, match="does not have the weights of MobileNet"):
        pretrained.load(model, settings, task)


QUICK: dict[str, Any] = {
    "training": {"epochs": 2},
    "data": {"share": 0.1},
    "evaluation": {"splits": ["validation"]},
}


class Listening(NoProgress):
    """Keeps what is said on the way."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


class Interrupting(NoProgress):
    """Stops training as Ctrl-C does, when an epoch has ended."""

    def on_row(self, row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)


def train(folder: Path, name: str, progress: NoProgress | None = None, **tables: Any) -> Run:
    chosen = mlplab.recipe("quickstart", **(QUICK | tables))
    options = Options(runs_dir=folder, name=name, keep="model")
    return execute.run(chosen, options, progress or NoProgress())


def test_a_head_is_trained_on_kept_features_and_then_more_layers(
    tiny_weights: Path, tmp_path: Path
) -> None:
    base = {"name": "pretrained", "network": "Tiny", "image_size": SIZE}
    model = {**base, "weights": str(tiny_weights)}
    listening = Listening()
    head = train(tmp_path, "head", listening, model=model)
    (source,) = head.record.sources
    assert source.validation_seen is None  # nobody knows what a file has seen
    assert any("has seen these validation images" in note for note in listening.notes)
    assert len(list((tmp_path / "cache" / "features").glob("*.npz"))) == 2
    assert head.record.metrics["validation"]["accuracy"] == pytest.approx(
        head.history[-1]["val_accuracy"], abs=0.01
    )
    tuned = train(
        tmp_path,
        "tuned",
        model={**model, "trainable": 1, "init_from": "head"},
        training={"epochs": 1},
    )
    assert tuned.record.sources[0].fresh == []


@pytest.mark.usefixtures("tiny_weights")
def test_features_are_found_again_in_the_same_process() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    listening = Listening()
    heads = [build(network="Tiny", weights="random")[0] for _ in range(2)]
    first, second = (features.extracted(head, images, listening.on_note) for head in heads)
    assert len(listening.notes) == 1
    np.testing.assert_array_equal(first, second)


def test_a_head_is_resumed_to_the_same_bits_with_the_same_weights_alone(
    tiny_weights: Path, tmp_path: Path
) -> None:
    base = {"name": "pretrained", "network": "Tiny", "image_size": SIZE}
    model = {**base, "weights": str(tiny_weights)}
    tables: dict[str, Any] = {"model": model, "callbacks": {"tensorboard": "none"}}
    whole = train(tmp_path, "whole", **tables, training={"epochs": 4})
    torn = train(tmp_path, "torn", Interrupting(), **tables, training={"epochs": 4})
    assert torn.record.status == "interrupted"
    saved = tiny_weights.read_bytes()
    keras.utils.set_random_seed(1)
    tiny(keras.Input((SIZE, SIZE, 3))).save_weights(tiny_weights)
    with pytest.raises(RunError, match="weights"):
        resume.resume(torn, Options(runs_dir=tmp_path))
    tiny_weights.write_bytes(saved)
    again = resume.resume(torn, Options(runs_dir=tmp_path))
    np.testing.assert_array_equal(
        again.predictions("validation")["probabilities"],
        whole.predictions("validation")["probabilities"],
    )
