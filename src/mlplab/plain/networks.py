"""The part of a program that builds the network: a function for each family."""

from collections.abc import Callable

from mlplab.plain import convolutional, dense, patches, pretrained
from mlplab.plain.facts import Facts
from mlplab.plain.source import Part

FAMILIES: dict[str, Callable[..., Part]] = {
    "linear": dense.linear,
    "mlp": dense.mlp,
    "residual-mlp": dense.residual_mlp,
    "linear-bottleneck": dense.linear_bottleneck,
    "s-fc": dense.s_fc,
    "structured-init": dense.structured_init,
    "lenet": convolutional.lenet,
    "cnn": convolutional.cnn,
    "resnet": convolutional.resnet,
    "airnet": convolutional.airnet,
    "convmixer": convolutional.convmixer,
    "mixer": patches.mixer,
    "vit": patches.vit,
    "pretrained": pretrained.pretrained,
}


def network(facts: Facts) -> Part:
    """Return the part that gives ``model``."""
    return FAMILIES[facts.recipe.model.name](facts, facts.recipe.model)
