"""Networks of convolutions, as source."""

from mlplab.models.networks.lenet import PUBLISHED
from mlplab.plain import parts
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, bracketed, loop
from mlplab.recipes.networks.airnet import AirNet
from mlplab.recipes.networks.cnn import CNN
from mlplab.recipes.networks.convmixer import ConvMixer
from mlplab.recipes.networks.lenet import LeNet
from mlplab.recipes.networks.resnet import ResNet

WHITENED_PATCHES = '''\
def whitened_patches(images, epsilon):
    """Return kernel and bias that give the principal components of patches of 2×2 pixels.

    Each has about the same variance, and comes with both signs.
    """
    height, width, channels = images.shape[1:]
    down = slice(0, height - 1), slice(1, height)
    right = slice(0, width - 1), slice(1, width)
    cut = [images[:, rows, columns] for rows in down for columns in right]
    patches = np.concatenate(cut, axis=-1).reshape(-1, 4 * channels)
    mean = patches.mean(axis=0)
    centred = patches - mean
    variances, vectors = np.linalg.eigh(centred.T @ centred / len(patches))
    kernel = vectors / np.sqrt(np.maximum(variances, 0) + epsilon)
    kernel = np.concatenate([kernel, -kernel], axis=1)
    return [kernel.reshape(2, 2, channels, -1), -mean @ kernel]'''

PASS_ON = '''\
def pass_on(convolution):
    """Let the first filters of a convolution return its input channels at first."""
    (kernel,) = convolution.get_weights()
    side, _, channels, filters = kernel.shape
    passed = min(channels, filters)
    kernel[..., :passed] = 0
    kernel[side // 2, side // 2, :, :passed] = np.eye(channels, passed)
    convolution.set_weights([kernel])'''


def lenet(facts: Facts, model: LeNet) -> Part:
    """Return LeNet-5."""
    side = min(facts.image_shape[:2])
    lines = []
    for filters, made_for in zip((6, 16), PUBLISHED, strict=True):
        valid = side >= made_for
        padding = [] if valid else ['padding="same"']
        lines.append(parts.hidden(model, "Conv2D", [str(filters), "5", *padding], "none", 0))
        side -= 4 if valid else 0
        if side > 1:
            lines.append("x = layers.AveragePooling2D(2)(x)")
            side //= 2
    code = block(
        parts.begin(facts),
        *lines,
        "x = layers.Flatten()(x)",
        loop("units", [120, 84]),
        parts.hidden(model, "Dense", ["units"], "none", 1),
        parts.output(facts),
    )
    return Part(code)


def cnn(facts: Facts, model: CNN) -> Part:
    """Return a plain convolutional network."""
    arguments = ["channels", str(model.kernel), "strides", 'padding="same"']
    code = block(
        parts.begin(facts),
        loop("channels", model.channels),
        block(parts.strides(model.depth), indent=1),
        parts.hidden(model, "Conv2D", arguments, "batch", 2),
        "x = layers.Flatten()(x)",
        block(loop("units", model.hidden), parts.hidden(model, "Dense", ["units"], "batch", 1))
        if model.hidden
        else "",
        parts.output(facts),
    )
    return Part(code)


def resnet(facts: Facts, model: ResNet) -> Part:
    """Return a residual network for small images."""
    arguments = ["filters", "side", "strides", 'padding="same"', "use_bias=False"]
    convolved = block(
        "def convolved(x, filters, side, strides=1):",
        '    """Append a convolution with batch normalisation."""',
        parts.layer("Conv2D", arguments + parts.initialiser(model), indent=1),
        "    return layers.BatchNormalization()(x)",
    )
    code = block(
        parts.begin(facts),
        f"x = convolved(x, {model.width}, 3)",
        parts.activation(model),
        "for stage in range(3):",
        block(
            f"filters = {model.width} * 2**stage",
            f"for number in range({(model.depth - 2) // 6}):",
            block(
                "strides = 2 if stage and not number else 1",
                "y = convolved(x, filters, 3, strides)",
                parts.activation(model, "y"),
                parts.dropout(model.dropout, "y"),
                "y = convolved(y, filters, 3)",
                "if strides > 1:",
                "    x = convolved(x, filters, 1, strides)",
                "x = layers.Add()([x, y])",
                parts.activation(model),
                indent=1,
            ),
            indent=1,
        ),
        "x = layers.GlobalAveragePooling2D()(x)",
        parts.output(facts),
    )
    return Part(code, (convolved,))


def airnet(facts: Facts, model: AirNet) -> Part:
    """Return the network of airbench."""
    channels = facts.image_shape[2]
    arguments = ["filters", "3", 'padding="same"', "use_bias=False", *parts.initialiser(model)]
    residual = model.convolutions > 2
    code = block(
        parts.scaled(facts),
        "# Principal components of 2×2 pixels of 1,000 training images: not trained.",
        "chosen = np.linspace(0, len(x_train) - 1, min(1000, len(x_train))).astype(int)",
        "seen = keras.Model(inputs, x).predict(x_train[chosen], verbose=0)",
        f"whitening = layers.Conv2D({8 * channels}, 2, trainable=False)",
        "x = whitening(x)",
        f"whitening.set_weights(whitened_patches(seen, {model.whitening_epsilon!r}))",
        parts.precision(facts),
        parts.activation(model),
        loop("filters", model.widths),
        f"    for step in range({model.convolutions}):",
        bracketed("convolution = layers.Conv2D(", arguments, indent=2),
        block(
            "y = convolution(x)",
            "pass_on(convolution)" if model.identity else "",
            "if step == 0 and min(y.shape[1:3]) > 1:",
            "    y = layers.MaxPooling2D(2)(y)",
            "y = layers.BatchNormalization(momentum=0.6, epsilon=1e-12, scale=False)(y)",
            "if step >= 2:  # residual\n    y = layers.Add()([before, y])" if residual else "",
            f'x = layers.Activation("{model.activation}")(y)',
            parts.dropout(model.dropout),
            "if step == 0:\n    before = x" if residual else "",
            indent=2,
        ),
        "x = layers.GlobalMaxPooling2D()(x)",
        f"x = layers.Rescaling({model.output_scale!r})(x)",
        parts.output(facts, "use_bias=False"),
    )
    return Part(code, (WHITENED_PATCHES, *((PASS_ON,) if model.identity else ())))


def convmixer(facts: Facts, model: ConvMixer) -> Part:
    """Return a ConvMixer."""
    drawn = parts.initialiser(model)
    finished = block(
        "def finished(x):",
        '    """Append activation and batch normalisation."""',
        f'    x = layers.Activation("{model.activation}")(x)',
        "    return layers.BatchNormalization(momentum=0.9)(x)",
    )
    patch, width = model.patch, model.width
    depthwise = [str(model.kernel), 'padding="same"']
    depthwise += [text.replace("kernel_", "depthwise_") for text in drawn]
    code = block(
        parts.begin(facts),
        parts.layer("Conv2D", [str(width), str(patch), str(patch), *drawn]),
        "x = finished(x)",
        f"for _ in range({model.depth}):",
        parts.layer("DepthwiseConv2D", depthwise, "y", "x", 1),
        "    x = layers.Add()([x, finished(y)])",
        parts.layer("Conv2D", [str(width), "1", *drawn], indent=1),
        "    x = finished(x)",
        parts.dropout(model.dropout, indent=1),
        "x = layers.GlobalAveragePooling2D()(x)",
        parts.output(facts),
    )
    return Part(code, (finished,))
