"""Networks: recipes' settings in, ``keras.Model`` out.

A family of networks is a module of :mod:`mlplab.models.networks`, named like the family. It offers

``build(settings, task)``
    the network with initial weights,

and, where it needs them,

``fit(model, settings, images)``
    sets layers that are computed from training images, such as a whitening;
``load(model, settings, task)``
    loads weights that are not from a run, and returns what is known about them;
``check_parent(settings, name, theirs)``
    refuses a run, by its recipe's ``[model]``, that the network cannot start from;
``initialise(model, settings, parent, seed)``
    sets its weights from another network, or ``None``, instead of copying layers;
``between_layers(settings, model)``
    returns how many values it computes for an image that are not the output of a layer.
"""

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from mlplab.models import custom, parts, user_code
from mlplab.models.layers.inputs import scaling_layer
from mlplab.models.parts import LoadedWeights, Shape, Task
from mlplab.recipes.networks import CustomModel, Network

__all__ = [
    "LoadedWeights",
    "Task",
    "between_layers",
    "build",
    "check_parent",
    "complete",
    "fit",
    "initialise",
    "load",
    "outline",
]


class _Family(Protocol):
    """What every module of :mod:`mlplab.models.networks` offers."""

    def build(self, settings: Any, task: Task) -> keras.Model:
        """Return the network with initial weights."""


def family(settings: Network) -> _Family:
    """Return the module of a family."""
    module = settings.name.replace("-", "_")
    return cast(_Family, importlib.import_module(f"mlplab.models.networks.{module}"))


def _offered(settings: Network | CustomModel, name: str) -> Any:
    """Return what a family offers under a name, or ``None``."""
    return getattr(family(settings), name, None) if isinstance(settings, Network) else None


def complete(settings: Network | CustomModel, trust: bool) -> Network | CustomModel:
    """Return the settings with Keras's own spellings; find the user's own code.

    Raises:
        RecipeError: for a name that does not exist, or code that is not trusted or not found.
    """
    if isinstance(settings, CustomModel):
        user_code.load_object(settings.name, trust)
        return settings
    return parts.complete(settings)


def build(settings: Network | CustomModel, task: Task, trust: bool = False) -> keras.Model:
    """Return the network of a recipe, with initial weights.

    It takes raw uint8 images [n, height, width, channels] and gives probabilities, float32
    [n, classes].

    Args:
        settings: the recipe's ``[model]``.
        task: what the network is for; its precision does not apply to the user's own networks.
        trust: whether the user's own code may be loaded.

    Raises:
        RecipeError: if the settings do not make such a network.
    """
    if isinstance(settings, CustomModel):
        return custom.build(settings, task, trust)
    settings = parts.complete(settings)
    return family(settings).build(settings, task)


def outline(
    settings: Network,
    input_shape: Shape,
    classes: int,
    visit: Callable[[keras.Model], None] = lambda network: None,
) -> keras.Model:
    """Return the network of a recipe without its weights: its variables only have shapes.

    Args:
        settings: the recipe's ``[model]``.
        input_shape: of its images.
        classes: number of classes.
        visit: called with the network while variables can still be added, also without values.
    """
    made: list[keras.Model] = []
    task = Task(input_shape, classes, scaling_layer("symmetric"), 0)

    def make() -> None:
        made.append(build(settings, task))
        visit(made[0])

    jax.eval_shape(make)
    return made[0]


def fit(model: keras.Model, settings: Network | CustomModel, images: NDArray[np.uint8]) -> None:
    """Set what a network computes from training images before it is trained.

    Args:
        model: from :func:`build`.
        settings: of the model.
        images: uint8 [n, height, width, channels], only those of the training split.
    """
    if offered := _offered(settings, "fit"):
        offered(model, settings, images)


def load(model: keras.Model, settings: Network | CustomModel, task: Task) -> LoadedWeights | None:
    """Load the weights that a network's settings name, if any; return what is known about them.

    Args:
        model: from :func:`build`.
        settings: of the model.
        task: of the model.

    Raises:
        RecipeError: if the weights cannot be obtained or do not fit.
    """
    offered = _offered(settings, "load")
    loaded: LoadedWeights | None = offered and offered(model, settings, task)
    return loaded


def check_parent(settings: Network | CustomModel, name: str, theirs: Network | CustomModel) -> None:
    """Refuse a run that a network cannot start from.

    Args:
        settings: of the network.
        name: of the run.
        theirs: the ``[model]`` of its recipe.

    Raises:
        RecipeError: saying where the two differ.
    """
    if offered := _offered(settings, "check_parent"):
        offered(settings, name, theirs)


def initialise(
    model: keras.Model, settings: Network | CustomModel, parent: keras.Model | None, seed: int
) -> bool:
    """Let a family set its network's weights from another network in its own way.

    Args:
        model: from :func:`build`.
        settings: of the model.
        parent: the network of the run that ``init_from`` names, or ``None``.
        seed: the recipe's.

    Returns:
        Whether it did; if not, layers that fit can be copied.

    Raises:
        RecipeError: if the other network does not fit.
    """
    offered = _offered(settings, "initialise")
    if offered is None:
        return False
    offered(model, settings, parent, seed)
    return True


def between_layers(settings: Network, model: keras.Model) -> int:
    """Return how many values a network computes for an image that no layer outputs."""
    offered = _offered(settings, "between_layers")
    return int(offered(settings, model)) if offered else 0
