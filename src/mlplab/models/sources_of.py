"""The source of functions and classes of a program, with all of the program that they use."""

import ast
import dis
import hashlib
import inspect
import json
import linecache
import sysconfig
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import keras
import numpy as np

from mlplab.models.fresh import canonical_names

PLAIN = (bool, int, float, complex, str, bytes, type(None))
LARGEST = 10_000
"""Characters of a value that are written out; of a longer one, its hash."""


def collect(things: Iterable[Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the source of functions and classes, and the values of the variables that they use.

    What they call in turn is followed, unless it is installed: another version of a library is in
    the record of a run.

    Args:
        things: functions and classes, in a module or in a notebook's cell; other objects stand for
            their classes.

    Returns:
        Pieces of source, each once, and values by the names of their variables.
    """
    texts: dict[int, str] = {}
    values: dict[str, Any] = {}
    seen: set[int] = set()
    waiting = list(things)
    while waiting:
        thing = inspect.unwrap(waiting.pop(0))
        if isinstance(thing, staticmethod | classmethod):
            thing = thing.__func__
        if not isinstance(thing, FunctionType | type):
            thing = thing.__func__ if inspect.ismethod(thing) else type(thing)
        if id(thing) in seen or _is_installed(thing):
            continue
        seen.add(id(thing))
        texts[id(thing)] = _text(thing)
        for name, value in _used(thing):
            if isinstance(value, ModuleType):
                if not _is_installed(value) and value.__file__:
                    values[name] = hashlib.sha256(Path(value.__file__).read_bytes()).hexdigest()
            elif isinstance(value, FunctionType | type) or inspect.ismethod(value):
                waiting.append(value)
            elif not callable(value) or isinstance(value, keras.layers.Layer):
                values[name] = described(value)
                waiting.append(type(value))
    return [text for text in texts.values() if text], values


def layers(model: keras.Model) -> list[Any]:
    """Return the classes of a model's layers, and the functions of its lambda layers."""
    found: list[Any] = []
    for layer in model._flatten_layers(include_self=False):
        found.append(type(layer))
        if isinstance(layer, keras.layers.Lambda):
            found.append(layer.function)
    return found


def config(model: keras.Model) -> Any:
    """Return the configuration of a model, without what differs from one building to the next."""
    names = canonical_names(model) | {model.name: "model"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == "__lambda__":
                return "a function, whose source is beside this file"
            skipped = ("compile_config", "shared_object_id")
            return {key: plain(item) for key, item in value.items() if key not in skipped}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    found = keras.saving.serialize_keras_object(model)
    return plain(json.loads(json.dumps(found, default=repr)))


def settings(thing: Any) -> dict[str, Any]:
    """Return an object's class, and its attributes that are named like its parameters."""
    names = inspect.signature(type(thing)).parameters
    held = vars(thing)
    found = {name: held[name] for name in names if name in held}
    return {"class": type(thing).__qualname__} | {
        name: described(value) for name, value in found.items()
    }


def described(value: Any) -> Any:
    """Return a value in a form that JSON can hold, and that is the same for equal values."""
    if isinstance(value, PLAIN) and len(repr(value)) <= LARGEST:
        return value if isinstance(value, bool | int | float | str | None) else repr(value)
    if isinstance(value, list | tuple | set | frozenset):
        parts = [described(item) for item in value]
        return sorted(parts, key=repr) if isinstance(value, set | frozenset) else parts
    if isinstance(value, dict):
        return {str(key): described(item) for key, item in value.items()}
    if hasattr(value, "__array__") and not isinstance(value, keras.Variable):
        array = np.ascontiguousarray(value)
        if array.dtype != object:
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            return f"array of {array.dtype}, {list(array.shape)}, SHA-256 {digest}"
    if isinstance(value, keras.Model):
        return config(value)
    if isinstance(value, keras.layers.Layer | keras.optimizers.Optimizer):
        return json.loads(json.dumps(value.get_config() | {"name": ""}, default=repr))
    if isinstance(value, PLAIN):
        return f"{type(value).__name__}, SHA-256 {hashlib.sha256(repr(value).encode()).hexdigest()}"
    return f"an object of the class {type(value).__qualname__}"


def _is_installed(thing: Any) -> bool:
    """Return whether something is from a library, or built in."""
    module = inspect.getmodule(thing) if not isinstance(thing, ModuleType) else thing
    name = module.__name__ if module is not None else getattr(thing, "__module__", "builtins")
    if name in (None, "__main__"):
        return False
    if name.partition(".")[0] == "mlplab":
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    path = Path(file).resolve()
    standard = path.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())
    return standard or bool({"site-packages", "dist-packages"} & set(path.parts))


def _text(thing: Any) -> str:
    """Return the source of a function or class; an empty text if Python does not have it."""
    if isinstance(thing, FunctionType):
        try:
            return textwrap.dedent(inspect.getsource(thing)).strip()
        except (OSError, TypeError):
            return f"# {thing.__qualname__}: SHA-256 {_of_bytecode(thing.__code__)}"
    for function in _functions(thing):  # a class of a cell has no file; its methods have
        source = "".join(linecache.getlines(function.__code__.co_filename))
        for node in ast.walk(_tree(source)):
            if isinstance(node, ast.ClassDef) and node.name == thing.__name__:
                start = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                lines = source.splitlines()[start - 1 : node.end_lineno]
                return textwrap.dedent("\n".join(lines)).strip()
    try:
        return textwrap.dedent(inspect.getsource(thing)).strip()
    except (OSError, TypeError):
        codes = "".join(_of_bytecode(each.__code__) for each in _functions(thing))
        digest = hashlib.sha256(codes.encode()).hexdigest()
        return f"# {thing.__qualname__}: SHA-256 {digest}"


def _tree(source: str) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # a cell with a magic command
        return ast.Module([], [])


def _of_bytecode(code: CodeType) -> str:
    """Return a hash of compiled code, for what was typed where Python keeps no source."""
    constants = [
        _of_bytecode(each) if isinstance(each, CodeType) else each for each in code.co_consts
    ]
    facts = repr((code.co_code, code.co_names, constants))
    return hashlib.sha256(facts.encode()).hexdigest()


def _functions(cls: type) -> Iterator[FunctionType]:
    for value in vars(cls).values():
        for each in (value, getattr(value, "__func__", None), getattr(value, "fget", None)):
            if isinstance(each, FunctionType) and each.__module__ == cls.__module__:
                yield each


def _used(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of what a function or class refers to outside itself."""
    if isinstance(thing, type):
        yield from ((base.__name__, base) for base in thing.__bases__)
        own = {key: value for key, value in vars(thing).items() if not key.startswith("__")}
        yield from ((key, value) for key, value in own.items() if isinstance(value, PLAIN))
        for function in _functions(thing):
            yield from _used(function)
        return
    yield from zip(thing.__code__.co_freevars, _contents(thing), strict=True)
    defaults = (*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values())
    yield from ((f"a default of {thing.__name__}", each) for each in defaults if callable(each))
    for name in _globals(thing.__code__):
        if name in thing.__globals__:
            yield name, thing.__globals__[name]


def _contents(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            yield None


def _globals(code: CodeType) -> Iterator[str]:
    """Yield the names of the global variables that code reads, inner functions included."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)
