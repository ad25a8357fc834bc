"""Settings checked against the signature of the class or function that they are for."""

import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, get_args

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from mlplab.errors import RecipeError, nearest
from mlplab.optim import documented

T = TypeVar("T")

_STRICT = ConfigDict(strict=True)
_NAMED_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PLAIN = (bool, int, float, str)


def find(name: str, known: Mapping[str, type[T]], where: str) -> type[T]:
    """Return the class of that name, in any capitalisation and with or without underscores.

    Args:
        name: as the recipe has it: ``"adam"``, ``"AdamW"``, ``"cosine_decay"``.
        known: the classes to choose from, by their names.
        where: the table in the recipe, for the message.

    Raises:
        RecipeError: if there is none; the message has the nearest name.
    """
    for key, value in known.items():
        if _folded(key) == _folded(name):
            return value
    raise RecipeError(f"{where}.name = '{name}' is not known{nearest(name, known)}")


def complete(
    function: Callable[..., Any],
    params: Mapping[str, Any],
    where: str,
    *,
    hidden: Collection[str] = (),
) -> dict[str, Any]:
    """Check settings against a signature and fill in every default.

    The expected type is the parameter's annotation; for Keras's own classes what Keras documents
    (:mod:`mlplab.optim.documented`); else the type of the default. A whole number is accepted where
    a number is expected, and becomes a float, so that equal settings are written alike. Booleans
    are not numbers, and numbers are finite.

    Args:
        function: a class or a function. What its ``**kwargs`` would take is not a setting.
        params: the settings; ``None`` for "none".
        where: the table in the recipe, for the messages.
        hidden: parameters that a recipe cannot set.

    Returns:
        A value for every parameter except the hidden ones, in the order of the signature. Defaults
        that a recipe cannot hold (an object) are left to the function.

    Raises:
        RecipeError: for an unknown or missing parameter or a wrong type; the message names it.
    """
    known = {
        name: parameter
        for name, parameter in _signature(function).parameters.items()
        if parameter.kind in _NAMED_KINDS and name not in hidden
    }
    for key in params:
        if key not in known:
            near = nearest(key, [*known, "name"])  # which each of these tables has
            raise RecipeError(f"'{where}.{key}' is not a parameter of {function.__name__}{near}")
    completed = {}
    for name, parameter in known.items():
        value = params.get(name, parameter.default)
        if value is parameter.empty:
            raise RecipeError(f"'{where}.{name}' is missing: {function.__name__} needs it")
        if name in params or _is_plain(value):
            expected = _expected(function, parameter)
            completed[name] = _checked(value, expected, parameter.default, f"{where}.{name}")
    return completed


def construct(cls: type[T], params: Mapping[str, Any], where: str) -> T:
    """Return ``cls(**params)``; an error of its constructor becomes one plain line.

    Raises:
        RecipeError: with the constructor's own words.
    """
    try:
        return cls(**params)
    except (ValueError, TypeError) as error:
        words = " ".join(str(error).split())
        raise RecipeError(f"[{where}] {cls.__name__} refuses these settings: {words}") from error


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, SyntaxError, TypeError, AttributeError):
        # Annotations written as text that cannot be evaluated at run time: the names still hold.
        return inspect.signature(function)


def _expected(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return the type that a setting is checked against; ``Any`` if it is not known."""
    if parameter.annotation is not parameter.empty and not isinstance(parameter.annotation, str):
        return parameter.annotation
    # A class of ours that inherits a Keras constructor has Keras's parameters.
    constructor = getattr(function, "__init__", function)
    module = getattr(constructor, "__module__", function.__module__)
    if module.partition(".")[0] == "keras":
        for key in (f"{function.__name__}.{parameter.name}", parameter.name):
            if key in documented.PARAMETERS:
                return documented.PARAMETERS[key]
    default_type = type(parameter.default)
    return default_type if default_type in (*_PLAIN, list, dict) else Any


def _checked(value: Any, expected: Any, default: Any, where: str) -> Any:
    """Return the value in the expected type; the default itself is always accepted."""
    try:
        # As JSON, which has the types of TOML: an array may then become a tuple, a string a path.
        text = json.dumps(value, allow_nan=False)
        checked = TypeAdapter(expected, config=_STRICT).validate_json(text)
        return checked if _is_plain(checked) else value
    except (PydanticUserError, NameError):
        return value  # a user's own annotation that pydantic cannot check
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
    except ValueError:
        problem = "Input should be finite"
    except TypeError:
        problem = "Input should be a number, a string, true, false, or a list of these"
    if type(value) is type(default) and value == default:
        return value
    alternative = ', or "none"' if type(None) in get_args(expected) else ""
    given = '"none"' if value is None else repr(value)
    shown = given if len(given) < 60 else f"{given[:57]}..."
    words = f"{problem[0].lower()}{problem[1:]}{alternative}"
    raise RecipeError(f"{where} = {shown} is wrong: {words}")


def _is_plain(value: Any) -> bool:
    """Return whether a recipe can hold the value."""
    if isinstance(value, list | tuple):
        return all(item is not None and _is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in _PLAIN
