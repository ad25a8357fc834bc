"""Diagnostics of a training: gradients, the size of updates, dead units.

Everything is measured on a fixed probe of training images, at the model's current weights, and
leaves model, optimizer and random generators as they were.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

LIMIT = 512  # images in a probe: one training step of the published network, 0.15 s on 2 cores

Gradients = dict[str, jax.Array]
"""By the path of a trainable variable, such as ``dense_1/kernel``: its shape, its dtype."""


@dataclass(frozen=True)
class LayerStatistics:
    """One layer before the next update.

    Attributes:
        layer: its name.
        gradient_norm: Euclidean norm of the loss's gradient over all its trainable variables; None
            without any.
        update_ratio: Euclidean norm of the optimizer's next step over that of the variables. About
            1e-3 is healthy; 0 while gradients are being accumulated; None where all are zero.
        dead_share: share of its ReLU units (of a convolution, channels) that no image of the probe
            activates, dropout switched off; None for other layers.
        zero_share: share of its kernel's weights that are exactly 0; None without a kernel.
    """

    layer: str
    gradient_norm: float | None
    update_ratio: float | None
    dead_share: float | None
    zero_share: float | None = None


@dataclass(frozen=True)
class Statistics:
    """The state of a training at one moment.

    Attributes:
        global_gradient_norm: Euclidean norm of the whole gradient, before any clipping; None if
            it is not finite.
        probe: number of images that it was measured on.
        layers: those with trainable variables or ReLUs, in the model's order.
    """

    global_gradient_norm: float | None
    probe: int
    layers: tuple[LayerStatistics, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON-able tables."""
        return {**asdict(self), "layers": [asdict(layer) for layer in self.layers]}


class Probe:
    """Measures one model again and again on the same images; compiled at its first call.

    The gradient is that of the compiled loss, penalties included, with the dropout masks that the
    next training step would draw.

    Args:
        model: compiled and built, its optimizer too.
        images: uint8 [n, height, width, channels]; the first ``LIMIT`` are used.
        labels: [n, ...], as the compiled loss expects them.
        weights: float32 [n], the weight of each image in the loss; by default all 1.
    """

    def __init__(
        self,
        model: keras.Model,
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        self.model = model
        self.size = min(len(images), LIMIT)
        self._batch = tuple(
            None if part is None else jnp.asarray(part[: self.size])
            for part in (images, labels, weights)
        )
        # Layers come by name: Keras keeps names unique within a model.
        self._trained = {layer.name: _places(model, layer) for layer in model.layers}
        self._relus = _relus(model)
        self._measure: Callable[..., Any] = jax.jit(self._stateless)

    def __call__(self) -> Statistics:
        """Measure the model as it is now."""
        return self.measure()[0]

    def measure(self) -> tuple[Statistics, Gradients]:
        """Measure the model as it is now, and return the gradients as well."""
        state = [[variable.value for variable in group] for group in self._variables()]
        gradients, numbers = self._measure(state, self._batch)
        numbers = jax.device_get(numbers)
        kinds = [numbers[key] for key in ("gradient", "ratio", "dead", "zero")]
        norms, _, dead, _ = kinds
        layers = tuple(
            LayerStatistics(name, *(_finite(values.get(name)) for values in kinds))
            for name in self._trained
            if name in norms or name in dead
        )
        statistics = Statistics(_finite(numbers["global"]), self.size, layers)
        paths = (variable.path for variable in self.model.trainable_variables)
        return statistics, dict(zip(paths, gradients, strict=True))

    def _variables(self) -> tuple[list[Any], ...]:
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

    def _stateless(self, state: Any, batch: Any) -> tuple[list[jax.Array], dict[str, Any]]:
        trainable, non_trainable, optimizer, metrics = state
        compute = partial(self.model.compute_loss_and_updates, training=True)

        def loss(weights: list[jax.Array]) -> jax.Array:
            # Of the two losses returned, the first is scaled for low precision.
            _, (value, *_) = compute(
                weights, non_trainable, metrics, *batch, optimizer_variables=optimizer
            )
            return jnp.asarray(value)

        gradients = jax.grad(loss)(trainable)
        updates = self._updates(optimizer, gradients, trainable)
        ratios, norms = {}, {}
        for name, places in self._trained.items():
            if places:
                norms[name] = _norm(gradients[i] for i in places)
                step = _norm(updates[i] for i in places)
                ratios[name] = step / _norm(trainable[i] for i in places)
        return gradients, {
            "global": _norm(gradients),
            "gradient": norms,
            "ratio": ratios,
            "dead": self._dead_shares(trainable, non_trainable, batch[0]),
            "zero": {
                name: _zero_share([trainable[i] for i in kernels])
                for name, places in self._trained.items()
                if (kernels := [i for i in places if trainable[i].ndim > 1])
            },
        }

    def _updates(self, state: Any, gradients: Any, weights: Any) -> list[jax.Array]:
        """Return what the optimizer's next step adds to each weight."""
        optimizer = self.model.optimizer
        with keras.StatelessScope(state_mapping=zip(optimizer.variables, state, strict=True)):
            scale = optimizer.scale_loss(jnp.ones(()))
        scaled = [gradient * scale for gradient in gradients]
        after, _ = optimizer.stateless_apply(state, scaled, weights)
        return [new - old for new, old in zip(after, weights, strict=True)]

    def _dead_shares(self, trainable: Any, non_trainable: Any, images: Any) -> dict[str, Any]:
        if not self._relus:
            return {}
        model = self.model
        inner = keras.Model(model.inputs, self._relus)
        values = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
        ]
        with keras.StatelessScope(state_mapping=values):
            outputs = inner(images, training=False)
        return {
            name: jnp.mean(jnp.all(output <= 0, axis=tuple(range(output.ndim - 1))))
            for name, output in outputs.items()
        }


def _places(model: keras.Model, layer: keras.Layer) -> Sequence[int]:
    """Return the positions of a layer's trainable variables among the model's."""
    own = {id(variable) for variable in layer.trainable_variables}
    return [i for i, variable in enumerate(model.trainable_variables) if id(variable) in own]


def _relus(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return the outputs of the layers that end in ReLU, by name.

    A layer that another network has as well, such as the one that a program passed, has outputs
    there too; one that is used more than once in this network is left out.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    nodes = [node for depth in getattr(graph, "_nodes_by_depth", {}).values() for node in depth]
    found = {}
    for layer in model.layers:
        here = [node for node in nodes if node.operation is layer]
        if _is_relu(layer) and len(here) == 1:
            (found[layer.name],) = here[0].output_tensors
    return found


def _is_relu(layer: keras.Layer) -> bool:
    plain = isinstance(layer, keras.layers.ReLU) and not layer.negative_slope
    return plain or getattr(layer, "activation", None) is keras.activations.relu


def _norm(arrays: Iterable[jax.Array]) -> jax.Array:
    return jnp.sqrt(sum(_squares(arrays), start=jnp.zeros(())))


def _squares(arrays: Iterable[jax.Array]) -> Iterator[jax.Array]:
    for array in arrays:
        yield jnp.sum(jnp.square(array.astype(jnp.float32)))


def _zero_share(arrays: Sequence[jax.Array]) -> jax.Array:
    zeros = sum(((array == 0).sum() for array in arrays), start=jnp.zeros((), jnp.int32))
    return zeros / sum(array.size for array in arrays)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
