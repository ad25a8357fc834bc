"""A network of values that its pixels stand for, as one of the pixels themselves."""

from typing import Any

import keras

from mlplab.models.parts import Shape, Values


def from_pixels(model: keras.Model, image_shape: Shape, values: Values | None) -> keras.Model:
    """Return a network from raw uint8 images that computes what a given one does of their values.

    Args:
        model: a network of the arrays that a program passed, in their shape and scale.
        image_shape: of the pixels, height, width and channels.
        values: what the pixels stand for; ``None``: the network is one of pixels.
    """
    if values is None:
        return model
    inputs = keras.Input(image_shape, dtype="uint8", name="pixels")
    outputs: Any = inputs
    scale, offset, shape = values
    outputs = keras.layers.Rescaling(scale, offset, name="scaling")(outputs)
    if shape != image_shape:
        outputs = keras.layers.Reshape(shape, name="in_shape")(outputs)
    flat = model._functional if isinstance(model, keras.Sequential) else model
    # The layers of a functional model become ours; calling the model would nest it.
    follow = flat.call if type(flat).__name__ == "Functional" else model
    outputs = follow(outputs)
    return keras.Model(inputs, outputs, name="model")


def with_softmax(model: keras.Model) -> keras.Model:
    """Return a network that gives probabilities instead of logits."""
    inputs = model.inputs[0]
    outputs = keras.layers.Softmax(name="probabilities")(model.outputs[0])
    return keras.Model(inputs, outputs, name="model")
