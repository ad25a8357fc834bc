"""Learning rates that are typical of the optimizers, as a yardstick for findings."""

from mlplab.recipes.schema import Named
from mlplab.report.formatting import is_number

# The middle of what is used in practice for dense networks on images, in batches of 32 to 128:
# Keras's default for methods that scale the gradient, 0.1 for plain SGD, and for the others what
# their papers recommend. A rate that is off by a factor of three is not remarkable.
TYPICAL = {
    "adam": 1e-3,
    "adamw": 1e-3,
    "adamax": 2e-3,
    "nadam": 1e-3,
    "rmsprop": 1e-3,
    "lamb": 3e-3,
    "lion": 1e-4,
    "adagrad": 1e-2,
    "sgd": 0.1,
}


def typical_rate(optimizer: Named) -> float | None:
    """Return a learning rate to start from with an optimizer; ``None`` if it is not listed."""
    typical = TYPICAL.get(optimizer.name.lower())
    if typical is None:
        return None
    momentum = optimizer.params.get("momentum")
    # Momentum adds up steps: in the long run, each counts 1 / (1 - momentum) times.
    if optimizer.name.lower() == "sgd" and is_number(momentum) and 0 < momentum < 1:
        return typical * (1 - momentum)
    return typical


def ratio_to_typical(optimizer: Named, rate: float | None) -> float | None:
    """Return a learning rate over the typical one; ``None`` if either is unknown."""
    typical = typical_rate(optimizer)
    return rate / typical if rate and typical else None
