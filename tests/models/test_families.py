"""What holds for every family of networks."""

from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import mlplab
from mlplab import models, recipes
from mlplab.errors import RecipeError
from mlplab.experiment import execute
from mlplab.experiment.options import Options
from mlplab.models import conversion, onnx, parts, saving
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.networks import structured_init
from mlplab.recipes import networks
from mlplab.recipes.networks.airnet import AirNet
from mlplab.recipes.networks.base import MOST_LAYERS
from mlplab.recipes.networks.cnn import CNN
from mlplab.recipes.networks.mixer import Mixer
from mlplab.recipes.networks.s_fc import SFC
from mlplab.recipes.networks.structured_init import StructuredInit
from mlplab.runs.run import Run
from mlplab.training.arrays import Arrays
from mlplab.training.engine import fit
from mlplab.training.plan import Plan, TrainingData, TrainingSchedule

SHAPE = (8, 8, 3)
NARROW: dict[str, dict[str, object]] = {
    "linear": {"l2": 1e-4},
    "mlp": {"hidden": [12, 8], "normalisation": "batch", "dropout": 0.1},
    "residual-mlp": {"width": 12, "blocks": 2, "expansion": 2, "dropout": 0.1},
    "linear-bottleneck": {"hidden": [16, 16], "bottleneck": 6, "whitening": 20},
    "s-fc": {"channels": 1},
    "structured-init": {"channels": [4, 6], "depth": 2, "hidden": [8]},
    "cnn": {"channels": [4, 6], "depth": 2, "hidden": [8]},
    "lenet": {},
    "resnet": {"depth": 8, "width": 4},
    "airnet": {"widths": [6, 8], "convolutions": 3, "identity": False},
    "convmixer": {"width": 8, "depth": 2, "kernel": 3},
    "vit": {"patch": 4, "width": 12, "blocks": 2, "heads": 2, "expansion": 2},
    "mixer": {"patch": 4, "width": 12, "blocks": 2, "token_units": 6, "channel_units": 16},
}


def task(seed: int = 0) -> models.Task:
    return models.Task(SHAPE, 3, scaling_layer("symmetric"), seed)


def settings(name: str) -> Any:
    chosen = networks.FAMILIES[name].model_validate({"name": name, **NARROW[name]})
    return parts.complete(chosen)


def build(name: str, seed: int = 0) -> keras.Model:
    model = models.build(settings(name), task(seed))
    models.initialise(model, settings(name), None, seed)
    models.fit(model, settings(name), pictures(50))
    return model


@cache
def built(name: str) -> keras.Model:
    """A network that no test changes."""
    return build(name)


def predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Predict by one program: layer by layer, each of their operations would be compiled alone."""
    return np.asarray(model.predict(images, verbose=0))


def pictures(n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *SHAPE), np.uint8)


def train(folder: Path, model: dict[str, Any], name: str | None = None, seed: int = 0) -> Run:
    """Train one epoch on 8×8 digits."""
    chosen = mlplab.recipe(
        "quickstart",
        model=model,
        training={"epochs": 1},
        callbacks={"tensorboard": "none"},
        seed=seed,
    )
    return execute.run(chosen, Options(runs_dir=folder, name=name, keep="model"))


def test_every_family_is_tried_here() -> None:
    here = set(NARROW) | {"pretrained"}  # which test_pretrained.py tries
    assert here == set(networks.FAMILIES)


@pytest.mark.parametrize("family", networks.FAMILIES.values())
def test_every_family_has_a_module_of_its_name(family: type[networks.Network]) -> None:
    assert callable(models.family(family()).build)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", NARROW)
def test_a_family_learns_is_saved_and_predicts_again(name: str, tmp_path: Path) -> None:
    model, images = build(name), pictures(32)
    labels = np.arange(32, dtype=np.int32) % 3
    before = [np.asarray(variable) for variable in model.trainable_variables]
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    data = Arrays(jnp.asarray(images), jnp.asarray(labels))
    rows = fit(
        model,
        Plan(data=TrainingData(train=data), schedule=TrainingSchedule(epochs=8, batch_size=32)),
    ).rows
    assert rows[-1]["loss"] < rows[0]["loss"]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert not np.array_equal(np.asarray(variable), value), variable.path
    plain = conversion.to_keras(model)
    saving.save(plain, tmp_path / "m.keras")
    loaded = saving.load(tmp_path / "m.keras", MOST_LAYERS)
    assert {type(layer).__module__.partition(".")[0] for layer in loaded.layers} == {"keras"}
    said = predicted(loaded, images)
    np.testing.assert_allclose(said, predicted(model, images), atol=1e-5)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NARROW)
def test_a_family_has_the_same_weights_for_the_same_seed_alone(name: str) -> None:
    one, again, other = built(name), build(name), build(name, seed=1)
    for mine, its in zip(one.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    differ = [
        not np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in zip(one.trainable_variables, other.trainable_variables, strict=True)
        if len(a.shape) > 1
    ]
    assert differ
    assert all(differ)


@pytest.mark.parametrize("name", NARROW)
def test_an_outline_counts_what_is_built(name: str) -> None:
    assert models.outline(settings(name), SHAPE, 3).count_params() == built(name).count_params()


@pytest.mark.parametrize("name", NARROW)
def test_a_family_is_exported_to_onnx(name: str, tmp_path: Path) -> None:
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = conversion.to_keras(built(name))
    expected = predicted(model, pictures())
    path = tmp_path / "network.onnx"
    onnx.export(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    (found,) = session.run(None, {given.name: pictures().astype(kinds[given.type])})
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_convolution_of_airnet_passes_on_its_channels_at_first() -> None:
    chosen = AirNet(widths=[30, 8])
    first, drawn = models.build(chosen, task()), models.build(chosen, task(seed=1))
    for name, passed in ("convolution_1", 24), ("convolution_3", 8):
        kernels = [np.asarray(model.get_layer(name).kernel) for model in (first, drawn)]
        given = np.random.default_rng(0).normal(size=(1, 4, 4, kernels[0].shape[2]))
        said = np.asarray(first.get_layer(name)(given.astype(np.float32)))
        np.testing.assert_allclose(said[..., :passed], given[..., :passed], rtol=1e-6)
        one, other = kernels
        assert np.array_equal(one[..., :passed], other[..., :passed])
        assert passed == 8 or not np.array_equal(one, other)  # the others are drawn


def test_the_published_s_fc_has_its_width() -> None:
    outline = models.outline(SFC(), (32, 32, 3), 10)
    assert [outline.get_layer(f"dense_{k}").units for k in (1, 2)] == [38_400, 3_600]


def test_a_network_of_structured_weights_computes_what_its_cnn_does() -> None:
    chosen = settings("structured-init")
    assert isinstance(chosen, StructuredInit)
    source = models.build(structured_init.twin(chosen), task())
    random = np.random.default_rng(0)
    for variable in source.variables:  # trained, with statistics of its own
        variable.assign(variable + 0.2 * random.random(variable.shape))
    dense = models.build(chosen, task(5))
    structured_init.initialise(dense, chosen, source, 5)
    images = pictures(50)
    np.testing.assert_allclose(predicted(dense, images), predicted(source, images), atol=1e-5)
    assert not any(isinstance(layer, keras.layers.Conv2D) for layer in dense.layers)


def test_a_cnn_of_another_form_is_not_written_out() -> None:
    chosen = settings("structured-init")
    assert isinstance(chosen, StructuredInit)
    other = models.build(CNN(channels=[5]), task())
    with pytest.raises(RecipeError, match="not the cnn that this recipe describes"):
        structured_init.initialise(built("structured-init"), chosen, other, 0)


def test_patches_have_to_tile_the_image() -> None:
    with pytest.raises(RecipeError, match="squares of that side do not tile images of 8×8"):
        models.build(Mixer(patch=3), task())


def test_a_network_of_our_layers_and_of_keras_own_agree_after_loading(tmp_path: Path) -> None:
    model = built("cnn")
    path = tmp_path / "m.keras"
    saving.save(conversion.to_keras(model), path)
    loaded = saving.load(path, MOST_LAYERS)
    fast = conversion.to_fast(loaded, "float32")
    assert any(type(layer).__module__.startswith("mlplab") for layer in fast.layers)
    np.testing.assert_allclose(
        predicted(fast, pictures()), predicted(loaded, pictures()), atol=1e-5
    )


def test_a_network_still_has_its_weights_when_its_copy_has_predicted() -> None:
    model = conversion.to_keras(built("airnet"))
    fast = conversion.to_fast(model, "float32")
    first = fast.predict(pictures(), batch_size=2, verbose=0)
    np.testing.assert_allclose(model.predict(pictures(), verbose=0), first, atol=1e-5)


def test_a_run_is_written_out_from_another(tmp_path: Path) -> None:
    small: dict[str, Any] = {"channels": [4], "hidden": [8]}
    train(tmp_path, {"name": "cnn", **small}, name="c")
    written = {"name": "structured-init", "init_from": "c", **small}
    run = train(tmp_path, written, name="d")
    (source,) = run.record.sources
    assert (source.role, source.run, source.network) == ("init_from", "c", "cnn")
    with pytest.raises(RecipeError, match=r"its model\.activation is relu, here gelu$"):
        train(tmp_path, written | {"activation": "gelu"})
    with pytest.raises(RecipeError, match=r"there is no run nobody.*choose from c, d"):
        train(tmp_path, written | {"init_from": "nobody"})
    with pytest.raises(RecipeError, match=r"no run cc .*did you mean 'c'"):
        train(tmp_path, written | {"init_from": "cc"})
    with pytest.raises(RecipeError, match="d is of the family structured-init; only a cnn"):
        train(tmp_path, written | {"init_from": "d"})


def test_replicates_written_out_from_replicates_are_of_one_configuration() -> None:
    ids = {
        recipes.config_id(
            mlplab.recipe(
                "quickstart", seed=seed, model={"name": "structured-init", "init_from": f"c{seed}"}
            ),
            {f"c{seed}": "the same"},
        )
        for seed in (0, 1)
    }
    assert len(ids) == 1


def test_a_network_too_deep_to_be_opened_again_is_not_trained(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="1006 layers"):
        train(tmp_path, {"name": "residual-mlp", "width": 2, "blocks": 200, "dropout": 0.1})
