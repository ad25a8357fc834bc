"""Objects of a program that a recipe names: ``given:NAME`` in place of ``module:name``.

A notebook has its models, callbacks and optimizers in cells, not in modules. What is passed to
``mlplab.train`` is kept here for as long as the process lives, with the source of its code, which
belongs to the configuration of a run like the recipe itself.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from mlplab.errors import RecipeError
from mlplab.models import sources_of
from mlplab.models.fresh import digest_of_weights, is_untrained, same_weights, untrained_copy
from mlplab.models.from_pixels import with_softmax
from mlplab.recipes.schema import GIVEN


@dataclass(frozen=True)
class Given:
    """An object of a program.

    Attributes:
        make: called in place of a function of a module.
        sources: what it consists of, by path.
    """

    make: Callable[..., Any]
    sources: dict[str, bytes]


_given: dict[str, Given] = {}


def find(name: str) -> Given:
    """Return what was given under a name, without its ``given:``.

    Raises:
        RecipeError: if nothing was, in this process.
    """
    if name not in _given:
        raise RecipeError(
            f"'{name}' was passed to mlplab as an object of a program, and a recipe cannot load it:"
            f" pass it again from Python, to mlplab.train or mlplab.resume"
        )
    return _given[name]


def give_model(model: Any, logits: bool = False) -> str:
    """Keep a Keras model, or a function that returns one; return the name for a recipe.

    A model that was not trained yet is built anew for each run, with weights that the recipe's seed
    decides. Of any other, each run trains a copy that starts from its weights.

    Args:
        model: of a program's arrays, or of raw images.
        logits: whether a softmax is to follow its outputs.

    Raises:
        RecipeError: if it is neither, or a model that cannot be copied.
    """
    if not isinstance(model, keras.Model):
        if not callable(model):
            raise RecipeError(
                f"model= is a {type(model).__name__}; pass a keras.Model, a function of the input"
                " shape and the classes that returns one, or a table of a recipe"
            )
        return _give(_name_of(model, "model"), model, *sources_of.collect([model]))
    if not model.built:
        raise RecipeError(
            "the model has no weights yet: begin it with a keras.Input of an image's shape"
        )
    name = _name_of(type(model), "model")
    if type(model).__module__.partition(".")[0] == "keras":
        name = "model"
    text, values = sources_of.collect([type(model), *sources_of.layers(model)])
    values["model"] = sources_of.config(model)
    copy = untrained_copy
    if not is_untrained(model):
        values["weights"] = digest_of_weights(model)
        copy = same_weights
    if logits:
        values["softmax"] = "added, as the loss is of logits"
    return _give(name, lambda: with_softmax(copy(model)) if logits else copy(model), text, values)


def give_optimizer(optimizer: keras.optimizers.Optimizer) -> str:
    """Keep an optimizer, of which each run uses a new copy; return the name for a recipe."""
    cls, config = type(optimizer), optimizer.get_config()
    text, values = sources_of.collect([cls])
    values["optimizer"] = json.loads(json.dumps(config, default=repr))
    return _give(_name_of(cls, "optimizer"), lambda: cls.from_config(config), text, values)


def give_callback(callback: keras.callbacks.Callback, name: str) -> str:
    """Keep a callback under a name of its own; return the name for a recipe."""
    text, values = sources_of.collect([type(callback)])
    values["callback"] = sources_of.settings(callback)
    return _give(name, lambda: callback, text, values)


def _give(name: str, make: Callable[..., Any], text: list[str], values: dict[str, Any]) -> str:
    sources = {f"{GIVEN}/{name}.py": ("\n\n\n".join(text) + "\n").encode()} if text else {}
    if values:
        described = json.dumps(values, indent=1, sort_keys=True, default=repr)
        sources[f"{GIVEN}/{name}.json"] = f"{described}\n".encode()
    _given[name] = Given(make, sources)
    return f"{GIVEN}:{name}"


def _name_of(thing: Any, otherwise: str) -> str:
    name = getattr(thing, "__name__", otherwise)
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else otherwise
