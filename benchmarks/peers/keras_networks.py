"""The networks of the recipes in Keras; each takes [n, 32, 32, 3] and gives probabilities."""

from typing import Any

import keras
from keras import layers


def cnn_small() -> list[Any]:
    """Return six convolutions in three stages."""
    found: list[Any] = []
    for channels in (48, 96, 192):
        for stride in (2, 1):
            found += [layers.Conv2D(channels, 3, stride, "same", use_bias=False)]
            found += [layers.BatchNormalization(), layers.Activation("relu")]
    return [*found, layers.Flatten()]


def airnet_small() -> list[Any]:
    """Return whitened patches, three blocks of two convolutions, and the maximum."""
    found: list[Any] = [layers.Conv2D(24, 2, trainable=False), layers.Activation("gelu")]
    for width in (32, 64, 128):
        for step in range(2):
            found += [layers.Conv2D(width, 3, padding="same", use_bias=False)]
            found += [layers.MaxPooling2D()] if step == 0 else []
            found += [layers.BatchNormalization(momentum=0.6, epsilon=1e-12, scale=False)]
            found += [layers.Activation("gelu")]
    return [*found, layers.GlobalMaxPooling2D(), layers.Rescaling(1 / 9)]


def vit(inputs: Any, patch: int = 4, width: int = 96, heads: int = 3) -> Any:
    """Append a vision transformer with the mean over its patches."""
    count = (32 // patch) ** 2
    x = layers.Conv2D(width, patch, patch, use_bias=False)(inputs)
    x = layers.Reshape((count, width))(x)
    x = x + layers.Embedding(count, width)(keras.ops.arange(count))
    for _ in range(4):
        y = layers.LayerNormalization()(x)
        given = [
            layers.Reshape((count, heads, width // heads))(layers.Dense(width)(y)) for _ in "qkv"
        ]
        y = layers.Reshape((count, width))(keras.ops.dot_product_attention(*given))
        x = x + layers.Dense(width)(y)
        y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(width)(y)
    return layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))


def network(name: str) -> keras.Model:
    """Return the network of a recipe."""
    inputs = keras.Input((32, 32, 3))
    if name == "vit":
        x = vit(inputs)
    else:
        x = inputs
        for layer in {"cnn-small": cnn_small, "airnet-small": airnet_small}[name]():
            x = layer(x)
    # The probabilities are float32, as in Keras's guide to mixed precision.
    bias = name != "airnet-small"
    output = layers.Dense(10, activation="softmax", dtype="float32", use_bias=bias)
    return keras.Model(inputs, output(x))
