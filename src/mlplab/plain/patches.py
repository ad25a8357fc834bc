"""Networks that see an image as patches, as source."""

from mlplab.plain import parts
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, bracketed
from mlplab.recipes.networks.mixer import Mixer
from mlplab.recipes.networks.vit import ViT


def mixer(facts: Facts, model: Mixer) -> Part:
    """Return an MLP-Mixer."""
    drawn = parts.initialiser(model)
    height, width, _ = facts.image_shape
    tokens = (height // model.patch) * (width // model.patch)
    patch = str(model.patch)

    def mixed(inner: int, outer: int) -> str:
        first = [str(inner), f'activation="{model.activation}"', *drawn]
        return block(
            parts.layer("Dense", first, "y", "y", 1),
            parts.layer("Dense", [str(outer), *drawn], "y", "y", 1),
            parts.dropout(model.dropout, "y", 1),
        )

    code = block(
        parts.begin(facts),
        parts.layer("Conv2D", [str(model.width), patch, patch, *drawn]),
        f"x = layers.Reshape(({tokens}, {model.width}))(x)",
        f"for _ in range({model.blocks}):",
        "    y = layers.LayerNormalization()(x)",
        "    y = layers.Permute((2, 1))(y)  # across patches",
        mixed(model.token_units, tokens),
        "    y = layers.Permute((2, 1))(y)",
        "    x = layers.Add()([x, y])",
        "    y = layers.LayerNormalization()(x)  # across channels",
        mixed(model.channel_units, model.width),
        "    x = layers.Add()([x, y])",
        "x = layers.LayerNormalization()(x)",
        "x = layers.GlobalAveragePooling1D()(x)",
        parts.output(facts),
    )
    return Part(code)


def vit(facts: Facts, model: ViT) -> Part:
    """Return a vision transformer."""
    drawn = parts.initialiser(model)
    height, width, channels = facts.image_shape
    side, features = model.patch, model.width
    rows, columns = height // side, width // side
    count = rows * columns
    embedding = [
        '"npc,cw->npw"',
        f"({count}, {features})",
        'bias_axes="pw"',
        *drawn,
        "bias_initializer=keras.initializers.RandomNormal(stddev=0.02)",
    ]
    wide = [f"{model.expansion} * {features}", f'activation="{model.activation}"', *drawn]
    narrow = [str(features), *drawn]
    attended = block(
        "def attended(x):",
        '    """Append attention among patches."""',
        f"    heads = ({count}, {model.heads}, {features // model.heads})",
        "    seen = []",
        "    for _ in range(3):  # queries, keys, values",
        parts.layer("Dense", narrow, "y", "x", 2),
        "        seen.append(layers.Reshape(heads)(y))",
        "    y = keras.ops.dot_product_attention(*seen)",
        f"    y = layers.Reshape(({count}, {features}))(y)",
        parts.layer("Dense", narrow, "y", "y", 1)
        if model.dropout
        else bracketed("return layers.Dense(", narrow, ")(y)", 1),
        f"    return layers.Dropout({model.dropout!r})(y)" if model.dropout else "",
    )
    code = block(
        parts.begin(facts),
        f"# Patches of {side}×{side} pixels, each with a bias for its position.",
        f"x = layers.Reshape({(rows, side, columns, side, channels)})(x)",
        "x = layers.Permute((1, 3, 2, 4, 5))(x)",
        f"x = layers.Reshape({(count, side * side * channels)})(x)",
        parts.layer("EinsumDense", embedding),
        f"for _ in range({model.blocks}):",
        "    y = attended(layers.LayerNormalization()(x))",
        "    x = layers.Add()([x, y])",
        "    y = layers.LayerNormalization()(x)",
        parts.layer("Dense", wide, "y", "y", 1),
        parts.layer("Dense", narrow, "y", "y", 1),
        parts.dropout(model.dropout, "y", 1),
        "    x = layers.Add()([x, y])",
        "x = layers.LayerNormalization()(x)",
        "x = layers.GlobalAveragePooling1D()(x)",
        parts.output(facts),
    )
    return Part(code, (attended,))
