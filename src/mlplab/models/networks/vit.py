"""Vision transformers: attention among patches."""

import keras

from mlplab.errors import RecipeError
from mlplab.models import parts
from mlplab.recipes.networks.vit import ViT


def build(settings: ViT, task: parts.Task) -> keras.Model:
    """Return a vision transformer (Dosovitskiy et al. 2021; Beyer, Zhai & Kolesnikov 2022).

    ``patches`` embeds each patch, with a bias for each position: the positional embedding. Then
    blocks of attention and of two dense layers, normalised before and added to their input; a
    normalisation; the mean over the patches; the output.

    Args and errors are those of :func:`mlplab.models.networks.mlp.build`.

    Raises:
        RecipeError: if patches do not tile the image, or heads do not divide the width.
    """
    parts.check_patches(settings.patch, task.input_shape)
    if settings.width % settings.heads:
        fits = [heads for heads in range(1, 65) if not settings.width % heads]
        raise RecipeError(
            f"model.heads = {settings.heads} do not divide model.width = {settings.width};"
            f" {', '.join(map(str, fits))} do"
        )
    images = parts.images(task)
    x = patches(task.scaling(images), settings.patch)
    x = keras.layers.EinsumDense(
        "npc,cw->npw",
        (x.shape[1], settings.width),
        bias_axes="pw",
        kernel_initializer=parts.initialiser(settings, task.seed, 1),
        bias_initializer=keras.initializers.RandomNormal(
            stddev=0.02, seed=parts.stream(task.seed, 1, parts.POSITION)
        ),
        name="patches",
    )(x)
    number = 1
    for block in range(1, settings.blocks + 1):
        number += 6
        y = parts.normalisation("layer", f"normalisation_{block}_1")(x)
        y = attended(y, settings, task, block, number - 5)
        x = keras.layers.Add(name=f"sum_{block}_1")([x, y])
        y = parts.normalisation("layer", f"normalisation_{block}_2")(x)
        inner = {"activation": settings.activation, "name": f"wide_{block}"}
        units = settings.expansion * settings.width
        y = parts.dense(settings, task, number - 1, units, **inner)(y)
        y = parts.dense(settings, task, number, settings.width, name=f"narrow_{block}")(y)
        y = parts.dropout(y, settings, task, number)
        x = keras.layers.Add(name=f"sum_{block}_2")([x, y])
    x = parts.normalisation("layer", "normalisation")(x)
    x = keras.layers.GlobalAveragePooling1D(name="average")(x)
    return keras.Model(images, parts.output(x, settings, task, number + 1), name="vit")


def between_layers(settings: ViT, model: keras.Model) -> int:
    """Return how many values attention computes between the patches of an image."""
    count: int = model.get_layer("patches").output.shape[1]
    return 2 * settings.blocks * settings.heads * count**2


def attended(
    x: keras.KerasTensor, settings: ViT, task: parts.Task, block: int, number: int
) -> keras.KerasTensor:
    """Append multi-head attention; its layers are ``number`` and the three after it.

    Not Keras's ``MultiHeadAttention``: given a seed, it starts queries and keys with the same
    weights, and the precision of its products cannot be set.
    """
    apart = (x.shape[1], settings.heads, settings.width // settings.heads)
    seen = []
    for step, name in enumerate(("query", "key", "value")):
        layer = parts.dense(settings, task, number + step, settings.width, name=f"{name}_{block}")
        seen.append(keras.layers.Reshape(apart, name=f"{name}_heads_{block}")(layer(x)))
    y = keras.ops.dot_product_attention(*seen)
    y = keras.layers.Reshape((apart[0], settings.width), name=f"heads_{block}")(y)
    y = parts.dense(settings, task, number + 3, settings.width, name=f"attention_{block}")(y)
    return parts.dropout(y, settings, task, number + 3)


def patches(x: keras.KerasTensor, side: int) -> keras.KerasTensor:
    """Append the layers that cut images into patches, [n, patches, values of one]."""
    height, width, channels = x.shape[1:]
    rows, columns = height // side, width // side
    x = keras.layers.Reshape((rows, side, columns, side, channels), name="squares")(x)
    x = keras.layers.Permute((1, 3, 2, 4, 5), name="in_rows")(x)
    return keras.layers.Reshape((rows * columns, side * side * channels), name="cut")(x)
