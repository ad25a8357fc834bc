"""Networks of ``keras.applications`` with a new head."""

import hashlib
import inspect
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mlplab.errors import RecipeError, first_line, nearest
from mlplab.models import parts
from mlplab.models.conversion import copy_weights, of_ours
from mlplab.models.layers.dense import Precision
from mlplab.models.parts import LoadedWeights
from mlplab.recipes.networks.pretrained import Pretrained

NETWORKS: dict[str, Callable[..., keras.Model]] = {
    name: value for name, value in vars(keras.applications).items() if inspect.isfunction(value)
}
WHITE = 255.0
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)  # of the channels; Keras takes their square root


def build(settings: Pretrained, task: parts.Task) -> keras.Model:
    """Return a network of ``keras.applications`` and a new head, with initial weights.

    Images are enlarged to ``image_size`` and scaled as the network expects; its own top layers
    are left out. After the mean over the image, ``features``, comes ``output``. The layers before
    are trained as ``trainable`` says; :func:`load` gives them their weights. Batch normalisation
    stays frozen, unless the whole network is trained from random weights.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.

    Raises:
        RecipeError: for a network that ``keras.applications`` does not have or that cannot take
            images of this size.
    """
    model = _own(_plain(settings, task)[0], settings, task.precision)
    inside = [layer for layer in model.layers if layer.weights and layer.name != "output"]
    normalising = [x for x in inside if isinstance(x, keras.layers.BatchNormalization)]
    free = [layer for layer in inside if layer not in normalising]
    fixed = 0 if settings.trainable == "all" else max(0, len(free) - settings.trainable)
    from_nothing = settings.weights == "random" and settings.init_from is None
    if from_nothing and settings.trainable == "all":
        return model  # with arbitrary statistics a deep network does not start to learn
    for layer in [*normalising, *free[:fixed]]:
        layer.trainable = False
    return model


def load(model: keras.Model, settings: Pretrained, task: parts.Task) -> LoadedWeights | None:
    """Load the weights of :func:`build`'s network, and return what is known about them.

    If they stay random or come from another run, do nothing and return ``None``.

    Args:
        model: from :func:`build`.
        settings: of the model.
        task: of the model.

    Raises:
        RecipeError: if the weights cannot be obtained or do not fit.
    """
    if settings.weights == "random" or settings.init_from is not None:
        return None
    plain, backbone = _plain(settings, task)
    if settings.weights == "imagenet":
        try:
            # It warns about sizes that it was not trained at, and prints a download's progress.
            with warnings.catch_warnings(), _quiet():
                warnings.simplefilter("ignore", UserWarning)
                source = _network(settings)(
                    include_top=False,
                    weights="imagenet",
                    input_shape=(settings.image_size, settings.image_size, 3),
                )
        except Exception as error:  # whatever the network or Keras's cache raise
            raise RecipeError(
                f"model.weights = 'imagenet': the weights of {settings.network} could not be"
                f" downloaded ({first_line(error)}). Use a file that you have,"
                " model.weights=PATH; or start from random weights, model.weights=random"
            ) from None
        backbone.set_weights(source.get_weights())
    else:
        path = Path(settings.weights).expanduser()
        if not path.is_file():
            raise RecipeError(f"model.weights: there is no file {path}")
        try:
            with warnings.catch_warnings():  # Keras warns about layers that the file lacks
                warnings.simplefilter("error", UserWarning)
                backbone.load_weights(path)
        except Exception as error:  # a file that does not fit, or is damaged, raises anything
            raise RecipeError(
                f"model.weights: {path} does not have the weights of {settings.network} without its"
                f" top layers: {first_line(error)}"
            ) from None
    model.set_weights(plain.get_weights())
    digest = hashlib.sha256()
    for weight in backbone.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    # ImageNet has none of the images of the data sets here; for a file that is not known.
    known = settings.weights == "imagenet"
    return LoadedWeights(settings.weights, settings.network, digest.hexdigest(), known)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Keras print nothing until the block ends."""
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if interactive:
            keras.config.enable_interactive_logging()


def _own(model: keras.Model, settings: Pretrained, precision: Precision) -> keras.Model:
    """Return the complete network in our layers, with names that are the same in every process.

    Keras numbers unnamed layers consecutively while a process lives. It also gives EfficientNet
    the scaling of its ImageNet weights only if it loads them itself.
    """
    counts: Counter[str] = Counter()
    scales = settings.weights != "random" and settings.network.startswith("EfficientNetB")

    def named(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        if not re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            return of_ours(layer, precision)
        counts[kind] += 1
        return of_ours(layer, precision, f"{kind}_{counts[kind]}")

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        outputs = layer(*inputs, **options)
        if scales and isinstance(layer, keras.layers.Normalization):
            deviations = [1 / sqrt(deviation) for deviation in IMAGENET_DEVIATIONS]
            return keras.layers.Rescaling(deviations, name="deviations")(outputs)
        return outputs

    copy = keras.models.clone_model(model, clone_function=named, call_function=call)
    copy_weights(copy, model)
    return copy


def _network(settings: Pretrained) -> Callable[..., keras.Model]:
    if settings.network not in NETWORKS:
        raise RecipeError(
            f"model.network = '{settings.network}' is not in keras.applications"
            f"{nearest(settings.network, NETWORKS)}"
        )
    return NETWORKS[settings.network]


def _plain(settings: Pretrained, task: parts.Task) -> tuple[keras.Model, keras.Model]:
    """Return the whole network in Keras's layers, and its pretrained part."""
    function = _network(settings)
    images = parts.images(task)
    x = _prepared(images, settings, function)
    # The networks' own initial weights come from Keras's generator.
    keras.utils.set_random_seed(parts.stream(task.seed, 0, parts.PRETRAINED))
    try:
        backbone = function(include_top=False, weights=None, input_tensor=x)
    except ValueError as error:
        raise RecipeError(
            f"model.network = '{settings.network}' cannot be built for images of"
            f" {settings.image_size} pixels: {first_line(error)}"
        ) from None
    x = keras.layers.GlobalAveragePooling2D(name=parts.FEATURES)(backbone.output)
    x = parts.dropout(x, settings, task, 1)
    outputs = parts.output(x, settings, task, 1)
    return keras.Model(images, outputs, name="pretrained"), backbone


def _prepared(
    images: keras.KerasTensor, settings: Pretrained, function: Callable[..., Any]
) -> keras.KerasTensor:
    """Append enlarging, colours and the network's own scaling.

    The scaling that a network expects is found by trying its ``preprocess_input``: each channel is
    multiplied and shifted, and their order may be reversed.
    """
    side, channels = settings.image_size, images.shape[-1]
    x = keras.layers.Rescaling(1.0, name="scaling")(images)  # to float32
    x = keras.layers.Resizing(side, side, name="enlarged")(x)
    if channels == 1:
        x = keras.layers.Concatenate(name="colours")([x, x, x])
    elif channels != 3:
        raise RecipeError(f"model.network takes colour or grey images, not {channels} channels")
    prepare = sys.modules[function.__module__].preprocess_input
    low, high, red = (np.zeros((1, 1, 1, 3), np.float32) for _ in range(3))
    high[...] = WHITE
    red[..., 0] = WHITE
    at_low, at_high, at_red = (np.ravel(prepare(probe.copy())) for probe in (low, high, red))
    if at_red[0] == at_low[0]:  # red has moved to the end
        x = keras.ops.flip(x, axis=-1)
    scale = (at_high - at_low) / WHITE
    if np.allclose(scale, 1) and np.allclose(at_low, 0):
        return x
    return keras.layers.Rescaling(scale.tolist(), at_low.tolist(), name="prepared")(x)
