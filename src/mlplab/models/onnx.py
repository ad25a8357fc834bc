"""Export of networks as ONNX."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np

from mlplab.errors import RecipeError
from mlplab.models.layers.pooling import MaxPooling2D, can_replace, over_squares


class _MaxPooling2D(MaxPooling2D):
    """Without C++, which the converter does not know."""

    def call(self, inputs: jax.Array) -> jax.Array:
        """Return the maximum of each square."""
        return over_squares(jnp.maximum, inputs, self.pool_size[0])


def export(model: keras.Model, path: Path) -> None:
    """Write a network as an ONNX file: raw uint8 images in, probabilities out, in float32.

    The weights of large networks go into a second file beside it, with ``.data`` after its name.

    Args:
        model: with only Keras's layers, as in a run's folder.
        path: of the file; must not exist.

    Raises:
        RecipeError: if jax2onnx is not installed.
    """
    if importlib.util.find_spec("jax2onnx") is None:
        raise RecipeError(
            "ONNX needs jax2onnx: pip install 'mlplab[onnx]', or '.[onnx]' in a clone"
        )

    def portable(layer: keras.layers.Layer) -> keras.layers.Layer:
        # ONNX Runtime refuses the converter's own form of these.
        cls = type(layer)
        if cls is keras.layers.MaxPooling2D and can_replace(layer):
            cls = _MaxPooling2D
        return cls.from_config(layer.get_config())

    network = keras.models.clone_model(model, clone_function=portable)
    network.set_weights(model.get_weights())
    # Without a call, Keras does not know how to export it.
    network(np.zeros((1, *network.input.shape[1:]), np.uint8))
    network.export(path, format="onnx", verbose=False)
    # Large weights go into a second file, which the converter lets only its owner read.
    weights = path.with_name(f"{path.name}.data")
    if weights.exists():
        weights.chmod(path.stat().st_mode)
