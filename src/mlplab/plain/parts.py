"""What the networks of a program are made of."""

from mlplab.plain.facts import Facts
from mlplab.plain.source import block, bracketed, keywords
from mlplab.recipes.networks import Deep, FlatNetwork, Network

DEFAULT = "glorot_uniform"
SCALING = {"symmetric": "1 / 127.5, offset=-1.0", "unit": "1 / 255"}
BFLOAT16 = """\
# The run rounded only the factors of products to bfloat16. This rounds more; without
# the line, everything is float32.
keras.config.set_dtype_policy("mixed_bfloat16")"""


def begin(facts: Facts) -> str:
    """Return the input and the scaling of its pixels; the precision holds from here on."""
    return block(scaled(facts), precision(facts))


def scaled(facts: Facts) -> str:
    """Return the input and the scaling of its pixels."""
    scaling = facts.recipe.data.scaling
    given = f"inputs = keras.Input({facts.image_shape})"
    if scaling != "standard":
        return block(given, f"x = layers.Rescaling({SCALING[scaling]})(inputs)")
    return block(
        "# Each channel with mean 0 and deviation 1 over the training images.",
        "mean = x_train.mean(axis=(0, 1, 2))",
        'variance = (x_train.astype("uint16") ** 2).mean(axis=(0, 1, 2)) - mean**2',
        "variance = np.where(variance > 1e-6, variance, 1.0)",
        given,
        "x = layers.Normalization(mean=mean, variance=variance)(inputs)",
    )


def precision(facts: Facts) -> str:
    """Return the statement that sets the precision of the layers after it, if any."""
    return "" if facts.recipe.training.precision == "float32" else BFLOAT16


def initialiser(model: Network) -> list[str]:
    """Return the argument of a layer that names the initialiser, unless it is Keras's default."""
    named = {"kernel_initializer": model.initialiser}
    return [] if model.initialiser == DEFAULT else keywords(named)


def penalty(l1: float, l2: float) -> list[str]:
    """Return the argument of a layer whose kernel is penalised, or none."""
    given = {key: value for key, value in (("l1", l1), ("l2", l2)) if value}
    if not given:
        return []
    name = "".join(given).upper()
    return [f"kernel_regularizer=keras.regularizers.{name}({', '.join(keywords(given))})"]


def layer(kind: str, arguments: list[str], to: str = "x", of: str = "x", indent: int = 0) -> str:
    """Return ``to = layers.Kind(arguments)(of)``, on as few lines as it needs."""
    return bracketed(f"{to} = layers.{kind}(", arguments, f")({of})", indent)


def hidden(model: Deep, kind: str, arguments: list[str], form: str, indent: int) -> str:
    """Return a hidden layer with normalisation, activation and dropout.

    Args:
        model: the settings.
        kind: of the layer.
        arguments: its first ones.
        form: of the normalisation: "none", "batch" or "layer".
        indent: how deep it is in loops.
    """
    lines = [*arguments, *(["use_bias=False"] if form == "batch" else []), *initialiser(model)]
    if form == "none":
        positional = sum("=" not in argument for argument in lines)
        lines.insert(positional, f'activation="{model.activation}"')
        text = layer(kind, lines, indent=indent)
    else:
        name = {"batch": "BatchNormalization", "layer": "LayerNormalization"}[form]
        text = block(
            layer(kind, lines, indent=indent),
            block(f"x = layers.{name}()(x)", activation(model), indent=indent),
        )
    return block(text, dropout(model.dropout, indent=indent))


def strides(depth: int) -> str:
    """Return the loop over the convolutions of a stage, of which the first has stride 2."""
    listed = {1: "[2]", 2: "[2, 1]"}.get(depth, f"[2] + [1] * {depth - 1}")
    return f"for strides in {listed}:"


def activation(model: Deep, to: str = "x") -> str:
    """Return the activation as a layer."""
    return f'{to} = layers.Activation("{model.activation}")({to})'


def dropout(rate: float, to: str = "x", indent: int = 0) -> str:
    """Return the dropout, if there is any."""
    return block(f"{to} = layers.Dropout({rate!r})({to})", indent=indent) if rate else ""


def output(facts: Facts, *options: str) -> str:
    """Return the output layer and the model."""
    model, recipe = facts.recipe.model, facts.recipe
    assert isinstance(model, Network)
    arguments = ["CLASSES", 'activation="softmax"', *options, *initialiser(model)]
    if recipe.training.precision != "float32":
        arguments.append('dtype="float32"')
    if recipe.optimizer.name == "Muon":
        arguments.append('name="output"')
    return block(
        bracketed("outputs = layers.Dense(", arguments, ")(x)"),
        "model = keras.Model(inputs, outputs)",
    )


def flattened(facts: Facts) -> str:
    """Return scaling, pooling, flattening and whitening, the beginning of every dense network."""
    model = facts.recipe.model
    assert isinstance(model, FlatNetwork)
    return block(
        scaled(facts),
        f"x = layers.AveragePooling2D({model.pool})(x)" if model.pool > 1 else "",
        "x = layers.Flatten()(x)",
        _whitened(model) if model.whitening is not None else "",
        precision(facts),
    )


def _whitened(model: FlatNetwork) -> str:
    zca = model.whitening_form == "zca"
    kept = [str(model.whitening), repr(model.whitening_epsilon)]
    units = "x.shape[1]" if zca else str(model.whitening)
    return block(
        "# Principal components of up to 10,000 training images: computed once, not trained.",
        "chosen = np.linspace(0, len(x_train) - 1, min(10_000, len(x_train))).astype(int)",
        "seen = keras.Model(inputs, x).predict(x_train[chosen], verbose=0)",
        f"whitening = layers.Dense({units}, trainable=False)",
        "x = whitening(x)",
        f"whitening.set_weights(whitened(seen, {', '.join(kept)}))",
    )


WHITENED = '''\
def whitened(seen, components, epsilon):
    """Return kernel and bias that give principal components of about equal variance."""
    mean = seen.mean(axis=0)
    centred = seen - mean
    variances, vectors = np.linalg.eigh(centred.T @ centred / len(seen))
    damped = np.maximum(variances, 0) + epsilon * variances.mean()
    kernel = (vectors / np.sqrt(damped))[:, : -components - 1 : -1]
    return [kernel, -mean @ kernel]'''
WHITENED_ZCA = WHITENED.replace(
    "give principal components of about equal variance", "remove the correlation of pixels"
).replace("[:, : -components - 1 : -1]", "[:, -components:] @ vectors[:, -components:].T")


def whitening(model: FlatNetwork) -> tuple[str, ...]:
    """Return the function that a whitening needs, if there is one."""
    if model.whitening is None:
        return ()
    return (WHITENED_ZCA if model.whitening_form == "zca" else WHITENED,)
