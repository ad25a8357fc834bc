"""Networks of ``keras.applications`` with a new head, as source."""

import sys

from mlplab.models.networks.pretrained import NETWORKS
from mlplab.plain import parts
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part, block, literal
from mlplab.recipes.networks.pretrained import Pretrained


def pretrained(facts: Facts, model: Pretrained) -> Part:
    """Return a pretrained network with a new head."""
    side, grey = model.image_size, facts.image_shape[2] == 1
    module = sys.modules[NETWORKS[model.network].__module__].__name__.rpartition(".")[2]
    weights = None if model.weights == "random" else model.weights
    code = block(
        f"inputs = keras.Input({facts.image_shape})",
        f"x = layers.Resizing({side}, {side})(inputs)",
        "x = layers.Concatenate()([x, x, x])  # grey as colours" if grey else "",
        f"x = keras.applications.{module}.preprocess_input(x)",
        parts.precision(facts),
        f"network = keras.applications.{model.network}(",
        f"    include_top=False, weights={literal(weights)}, input_shape=({side}, {side}, 3)",
        ")",
        _frozen(model),
        "x = network(x)",
        "x = layers.GlobalAveragePooling2D()(x)",
        parts.dropout(model.dropout),
        parts.output(facts),
    )
    return Part(code)


def _frozen(model: Pretrained) -> str:
    """Return what keeps the layers fixed that the run did not train."""
    if model.trainable == 0:
        return "network.trainable = False"
    if model.trainable == "all" and model.weights == "random":
        return ""
    normalising = "isinstance(layer, layers.BatchNormalization)"
    if model.trainable == "all":
        return block(
            "for layer in network.layers:",
            f"    layer.trainable = not {normalising}",
        )
    return block(
        f"# Its last {model.trainable} layers with weights are trained, normalisation is not.",
        "free = []",
        "for layer in network.layers:",
        "    layer.trainable = False",
        f"    if layer.weights and not {normalising}:",
        "        free.append(layer)",
        f"for layer in free[-{model.trainable}:]:",
        "    layer.trainable = True",
    )
