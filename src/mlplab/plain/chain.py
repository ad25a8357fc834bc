"""The layers of a Keras model, read as the network of a recipe."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras

from mlplab.errors import RecipeError
from mlplab.recipes.overrides import Tables

L = keras.layers
SCALINGS = {(1 / 127.5, -1.0): "symmetric", (1 / 255, 0.0): "unit"}
NORMALISATIONS = {L.BatchNormalization: "batch", L.LayerNormalization: "layer"}
PENALTIES = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
POLICIES = {"float32": "float32", "mixed_bfloat16": "bfloat16"}
OF_ALL, OF_HIDDEN = ("initialiser", "l1", "l2"), ("activation", "normalisation", "dropout")
# What the layers' names and their place in a program say, not what they compute.
IDLE = {"name", "dtype", "trainable", "axis", "seed", "build_config", "precision"}


@dataclass(frozen=True)
class Hidden:
    """A dense layer and what comes after it, before the next; fields are keys of ``[model]``."""

    units: int
    initialiser: str
    l1: float
    l2: float
    precision: str
    activation: str = "linear"
    normalisation: str = "none"
    dropout: float = 0.0


def network_of(model: keras.Model) -> tuple[Tables, str]:
    """Return the tables ``[data]`` and ``[model]`` of a chain of layers, and its precision.

    Raises:
        RecipeError: naming the first layer that such a network does not have.
    """
    left = list(_layers(model))
    data: Tables = {}
    table: Tables = {"name": "mlp"}
    if left and isinstance(left[0], L.Rescaling | L.Normalization):
        data["scaling"] = _scaling(left.pop(0))
    if left and isinstance(left[0], L.AveragePooling2D):
        table["pool"] = _pool(left.pop(0))
    if left and isinstance(left[0], L.Flatten):
        left.pop(0)
    groups = _groups(left)
    *hidden, output = groups
    _check_output(*output)
    read = [_hidden(*group) for group in hidden]
    last = _dense(output[0])
    first = read[0] if read else last
    for layer, (dense, *_) in zip(read, hidden, strict=True):
        _check_same(layer, first, dense)
    shared = {key: getattr(last, key) for key in OF_ALL}
    _check_same(replace(first, **shared), first, output[0])
    table |= {"hidden": [layer.units for layer in read], **shared}
    table |= {key: getattr(first, key) for key in OF_HIDDEN if read}
    precision = first.precision if read else "float32"
    return {"model": table, **({"data": data} if data else {})}, precision


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a chain, without its input."""
    before = None
    for layer in model.layers:
        if not isinstance(model, keras.Sequential):
            inbound: list[Any] = [] if before is None else [layer.input]
            if len(layer._inbound_nodes) != 1 or any(x is not before for x in inbound):
                raise _refused(layer, "only a chain of layers, each used once, has a recipe")
            before = layer.output
        if not isinstance(layer, L.InputLayer):
            yield layer


def _groups(layers: list[keras.layers.Layer]) -> list[list[keras.layers.Layer]]:
    """Divide layers into dense ones, each with those that come after it."""
    groups: list[list[keras.layers.Layer]] = []
    for layer in layers:
        if isinstance(layer, L.Dense):
            groups.append([layer])
        elif groups:
            groups[-1].append(layer)
        else:
            raise _refused(layer, "a recipe has no such layer before the first dense one")
    if not groups:
        raise RecipeError("the model has no dense layer")
    return groups


def _hidden(dense: keras.layers.Dense, *after: keras.layers.Layer) -> Hidden:
    """Read a hidden layer: its product, normalisation, activation and dropout, in this order."""
    found = _dense(dense)
    for layer in after:
        if isinstance(layer, tuple(NORMALISATIONS)):
            if found.activation != "linear" or found.normalisation != "none" or found.dropout:
                raise _refused(layer, "in a recipe, normalisation comes right after the product")
            _check_default(layer)
            form = next(form for kind, form in NORMALISATIONS.items() if isinstance(layer, kind))
            found = replace(found, normalisation=form)
        elif isinstance(layer, L.Activation | L.ReLU):
            if found.activation != "linear" or found.dropout:
                raise _refused(layer, "in a recipe, one activation comes before the dropout")
            found = replace(found, activation=_activation(layer))
        elif isinstance(layer, L.Dropout):
            if found.dropout or layer.noise_shape is not None:
                raise _refused(layer, "in a recipe, each layer has one dropout of single units")
            found = replace(found, dropout=float(layer.rate))
        else:
            raise _refused(layer, "a recipe has no such layer")
    if dense.use_bias == (found.normalisation == "batch"):
        use = "no bias" if dense.use_bias else "a bias"
        raise _refused(dense, f"in a recipe, such a layer has {use} (use_bias)")
    return found


def _dense(layer: keras.layers.Dense) -> Hidden:
    """Read a dense layer by itself."""
    if not layer.trainable:
        raise _refused(layer, "a recipe has no frozen layers")
    for name in ("bias_regularizer", "kernel_constraint", "bias_constraint"):
        if getattr(layer, name) is not None:
            raise _refused(layer, f"a recipe has no key for its {name}")
    if layer.use_bias and not isinstance(layer.bias_initializer, keras.initializers.Zeros):
        raise _refused(layer, "a recipe has no key for its bias_initializer")
    l1, l2 = _penalty(layer)
    return Hidden(
        units=layer.units,
        initialiser=_initialiser(layer),
        l1=l1,
        l2=l2,
        precision=_precision(layer),
        activation=layer.activation.__name__,
    )


def _check_output(layer: keras.layers.Dense, *after: keras.layers.Layer) -> None:
    """Refuse a last layer that is not a softmax over the classes."""
    softmax = [isinstance(x, L.Softmax) or _is_activation(x, "softmax") for x in after]
    if softmax != [True] * (layer.activation.__name__ == "linear"):
        strange = after[softmax.index(False)] if False in softmax else layer
        raise _refused(strange, "the last layer of a recipe is dense, with a softmax")
    if not layer.use_bias:
        raise _refused(layer, "in a recipe, it has a bias (use_bias)")


def _is_activation(layer: keras.layers.Layer, name: str) -> bool:
    return isinstance(layer, L.Activation) and layer.activation.__name__ == name


def _check_same(layer: Hidden, first: Hidden, at: keras.layers.Layer) -> None:
    """Refuse a layer that differs from the first in what a recipe has one key for."""
    for key, value in vars(layer).items():
        if key != "units" and value != getattr(first, key):
            where = "training" if key == "precision" else "model"
            raise _refused(
                at,
                f"{where}.{key} is one for all layers, but here {value!r} after"
                f" {getattr(first, key)!r}",
            )


def _scaling(layer: keras.layers.Layer) -> str:
    if isinstance(layer, L.Normalization):
        return "standard"
    for (scale, offset), name in SCALINGS.items():
        given = (layer.scale, layer.offset)
        if all(isinstance(x, int | float) for x in given) and all(
            math.isclose(a, b, rel_tol=1e-6) for a, b in zip(given, (scale, offset), strict=True)
        ):
            return name
    raise _refused(layer, "data.scaling is [-1, 1], [0, 1], or a Normalization")


def _pool(layer: keras.layers.AveragePooling2D) -> int:
    side, other = layer.pool_size
    if side != other or layer.strides != layer.pool_size or layer.padding != "valid":
        raise _refused(layer, "model.pool averages adjacent squares")
    return int(side)


def _activation(layer: keras.layers.Layer) -> str:
    if isinstance(layer, L.ReLU):
        _check_default(layer)
        return "relu"
    return str(layer.activation.__name__)


def _initialiser(layer: keras.layers.Dense) -> str:
    given = layer.kernel_initializer
    if not hasattr(given, "get_config") or _setting(given) != _setting(type(given)()):
        raise _refused(layer, "model.initialiser is one of Keras's with its own settings")
    return type(given).__name__


def _setting(item: Any) -> dict[str, Any]:
    return {key: value for key, value in item.get_config().items() if key not in IDLE}


def _penalty(layer: keras.layers.Dense) -> tuple[float, float]:
    given = layer.kernel_regularizer
    if layer.activity_regularizer is not None:
        raise _refused(layer, "a recipe has no key for its activity_regularizer")
    if given is None:
        return 0.0, 0.0
    if not isinstance(given, PENALTIES):
        raise _refused(layer, "a recipe penalises kernels by model.l1 and model.l2")
    l1, l2 = (_short(getattr(given, key, 0.0)) for key in ("l1", "l2"))
    return l1, l2


def _short(value: Any) -> float:
    """Return a number of float32 as it was probably written."""
    return float(f"{float(value):.7g}")


def _precision(layer: keras.layers.Dense) -> str:
    policy = layer.dtype_policy.name
    if policy not in POLICIES:
        raise _refused(layer, f"training.precision is float32 or bfloat16, not {policy}")
    return str(getattr(layer, "precision", POLICIES[policy]))


def _check_default(layer: keras.layers.Layer) -> None:
    """Refuse a layer with settings other than its class's own."""
    given, plain = _setting(layer), _setting(type(layer)())
    for key in plain:
        if given[key] != plain[key]:
            raise _refused(layer, f"a recipe has no key for its {key}")


def _refused(layer: keras.layers.Layer, why: str) -> RecipeError:
    return RecipeError(f"layer {layer.name} ({type(layer).__name__}): {why}")
