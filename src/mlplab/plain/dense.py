"""Networks of dense layers on the flattened image, as source."""

from mlplab.plain import parts
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, bracketed, loop
from mlplab.recipes.networks.linear import Linear
from mlplab.recipes.networks.linear_bottleneck import LinearBottleneck
from mlplab.recipes.networks.mlp import MLP
from mlplab.recipes.networks.residual_mlp import ResidualMLP
from mlplab.recipes.networks.s_fc import SFC
from mlplab.recipes.networks.structured_init import StructuredInit

AS_MATRIX = '''\
def as_matrix(convolution, shape):
    """Return a convolution as a matrix: what it gives for each input value alone."""
    size, rows = math.prod(shape), []
    for start in range(0, size, 512):
        unit = np.eye(min(512, size - start), size, start, "float32")
        answer = keras.ops.convert_to_numpy(convolution(unit.reshape(-1, *shape)))
        rows.append(answer.reshape(len(unit), -1))
    return np.concatenate(rows)'''


def linear(facts: Facts, model: Linear) -> Part:
    """Return multinomial logistic regression."""
    code = block(parts.flattened(facts), parts.output(facts, *parts.penalty(model.l1, model.l2)))
    return Part(code, parts.whitening(model))


def mlp(facts: Facts, model: MLP) -> Part:
    """Return a multilayer perceptron."""
    penalty = parts.penalty(model.l1, model.l2)
    arguments = ["units", *penalty]
    layers = parts.hidden(model, "Dense", arguments, model.normalisation, 1)
    code = block(
        parts.flattened(facts),
        block(loop("units", model.hidden), layers) if model.hidden else "",
        parts.output(facts, *penalty),
    )
    return Part(code, parts.whitening(model))


def residual_mlp(facts: Facts, model: ResidualMLP) -> Part:
    """Return an MLP of residual blocks."""
    drawn = parts.initialiser(model)
    wide = [f"{model.expansion} * {model.width}", f'activation="{model.activation}"', *drawn]
    code = block(
        parts.flattened(facts),
        parts.layer("Dense", [str(model.width), *drawn]),
        block(
            f"for _ in range({model.blocks}):",
            block("y = layers.LayerNormalization()(x)", indent=1),
            parts.layer("Dense", wide, "y", "y", 1),
            parts.layer("Dense", [str(model.width), *drawn], "y", "y", 1),
            parts.dropout(model.dropout, "y", 1),
            block("x = layers.Add()([x, y])", indent=1),
        ),
        "x = layers.LayerNormalization()(x)",
        parts.output(facts),
    )
    return Part(code, parts.whitening(model))


def linear_bottleneck(facts: Facts, model: LinearBottleneck) -> Part:
    """Return wide layers with narrow linear ones between them."""
    first, *rest = model.hidden
    between = [str(model.bottleneck), *parts.initialiser(model)]
    wide = parts.hidden(model, "Dense", ["units"], model.normalisation, 1)
    code = block(
        parts.flattened(facts),
        parts.hidden(model, "Dense", [str(first)], model.normalisation, 0),
        block(loop("units", rest), parts.layer("Dense", between, indent=1), wide) if rest else "",
        parts.output(facts),
    )
    return Part(code, parts.whitening(model))


def s_fc(facts: Facts, model: SFC) -> Part:
    """Return the two layers of S-FC."""
    height, width, _ = facts.image_shape
    positions = -(-height // 2) * -(-width // 2)
    widths = [positions * model.channels, 24 * model.channels]
    code = block(
        parts.flattened(facts),
        f"# As a convolution of stride 2 with {model.channels} channels, then 24 for each.",
        loop("units", widths),
        parts.hidden(model, "Dense", ["units"], "batch", 1),
        parts.output(facts),
    )
    return Part(code, parts.whitening(model))


def structured_init(facts: Facts, model: StructuredInit) -> Part:
    """Return a convolutional network written out as dense layers."""
    convolution = ["channels", str(model.kernel), "strides", 'padding="same"', "use_bias=False"]
    convolution += parts.initialiser(model)
    code = block(
        parts.begin(facts),
        "# Each dense layer starts with the weights of a convolution, written out as a matrix.",
        "shape = x.shape[1:]",
        "x = layers.Flatten()(x)",
        loop("channels", model.channels),
        block(parts.strides(model.depth), indent=1),
        bracketed("convolution = layers.Conv2D(", convolution, indent=2),
        block(
            "matrix = as_matrix(convolution, shape)",
            "shape = convolution.compute_output_shape((None, *shape))[1:]",
            "dense = layers.Dense(matrix.shape[1], use_bias=False)",
            "x = dense(x)",
            "dense.set_weights([matrix])",
            "x = layers.BatchNormalization()(x)",
            parts.activation(model),
            parts.dropout(model.dropout),
            indent=2,
        ),
        block(loop("units", model.hidden), parts.hidden(model, "Dense", ["units"], "batch", 1))
        if model.hidden
        else "",
        parts.output(facts),
    )
    return Part(code, (AS_MATRIX,), ("import math",))
