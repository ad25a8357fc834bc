"""The user's own code: found by ``module:name``, loaded only if trusted, and identified.

Code belongs to the configuration of a run, like the recipe that names it. So it is loaded anew
when its files have changed since they were last loaded, and its source is recorded and hashed.
"""

import ast
import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from mlplab.errors import RecipeError, nearest
from mlplab.models import given
from mlplab.recipes.schema import GIVEN

Sources = dict[str, bytes]
"""Content of source files by their path, relative to the folder that Python imports from."""

_loaded: dict[str, Sources] = {}  # what each module was loaded from


def load_object(name: str, trust: bool, fresh: bool = True) -> Callable[..., Any]:
    """Import one of the user's own functions or classes.

    Modules are looked for where Python looks, and last in the current directory, so that a file
    there cannot shadow a library.

    Args:
        name: ``"module:name"``.
        trust: whether the user allowed it; importing a module runs it.
        fresh: load the module again if its files have changed. Within a run this is ``False``, so
            that all of it uses the same code.

    Raises:
        RecipeError: if that is not allowed, or there is no such module or name, or it cannot be
            called.
    """
    module_name, _, attribute = name.partition(":")
    if module_name == GIVEN:  # an object of the program that calls mlplab
        return given.find(attribute).make
    if not trust:
        raise RecipeError(
            f"'{name}' is custom code, which a recipe runs only with --trust. "
            "Add it if you know and trust that code."
        )
    module = _import(module_name, fresh)
    where = f"the module {module_name} ({getattr(module, '__file__', None) or 'built in'})"
    if not hasattr(module, attribute):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise RecipeError(f"{where} has no '{attribute}'{nearest(attribute, public)}")
    found = getattr(module, attribute)
    if not callable(found):
        raise RecipeError(f"'{attribute}' in {where} cannot be called; name a function or a class")
    return found  # type: ignore[no-any-return]


def sources(names: Iterable[str]) -> Sources:
    """Return the source files that loaded code consists of.

    That is the module's own file and, unless it is an installed package, the files beside it that
    it imports, directly or through one another.

    Args:
        names: ``"module:name"`` of each, loaded before.
    """
    found: Sources = {}
    for name in sorted(names):
        module, _, attribute = name.partition(":")
        if module == GIVEN:
            found |= given.find(attribute).sources
        else:
            found |= _loaded.get(module, {})
    return found


def digest(files: Sources) -> str | None:
    """Return a SHA-256 of source files, or ``None`` if there are none."""
    if not files:
        return None
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path}\0{hashlib.sha256(files[path]).hexdigest()}\n".encode())
    return total.hexdigest()


def one_line(error: Exception) -> str:
    """Return an error of the user's code, shortened to one line."""
    words = " ".join(str(error).split())
    shown = words if len(words) < 300 else f"{words[:297]}..."
    return f"{type(error).__name__}: {shown}"


def _import(name: str, fresh: bool) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        # Not removed again: the module may import its neighbours later, when it is called.
        sys.path.append(here)
    importlib.invalidate_caches()
    loaded = sys.modules.get(name)
    if loaded is not None and name in _loaded and not fresh:
        return loaded
    try:
        module = _current(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise RecipeError(
                f"there is no module '{name}': it must be installed or be in {here}"
            ) from None
        raise RecipeError(f"importing '{name}' failed: {one_line(error)}") from error
    except Exception as error:
        raise RecipeError(f"importing '{name}' failed: {one_line(error)}") from error
    return module


def _current(name: str) -> ModuleType:
    """Return a module as its files are now."""
    loaded = sys.modules.get(name)
    root: Path | None = None
    found: Sources = {}
    if loaded is not None:
        root = _root(loaded, name)
        found = _read(loaded, name)
        if root is None:
            _loaded.setdefault(name, found)
            return loaded
        if found == _loaded.get(name):
            return loaded
    stale = {
        key: module
        for key, module in list(sys.modules.items())
        if loaded is not None and _is_among(key, module, root, {**found, **_loaded.get(name, {})})
    }
    # Python recognises a changed file by the second of its change and its length. So bytecode that
    # is there could stand in for this version, and bytecode that is written now for the next one.
    for key, module in stale.items():
        del sys.modules[key]
        if cached := getattr(module, "__cached__", None):
            with suppress(OSError):
                Path(cached).unlink(missing_ok=True)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        module = importlib.import_module(name)
    except BaseException:
        sys.modules.update(stale)
        raise
    finally:
        sys.dont_write_bytecode = writes
    _loaded[name] = _read(module, name)
    return module


def _root(module: ModuleType, name: str) -> Path | None:
    """Return the folder that a module was imported from, or ``None`` if it is installed."""
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py") or name.partition(".")[0] == "mlplab":
        return None
    path = Path(file).resolve()
    root = path.parents[name.count(".") + (path.name == "__init__.py")]
    standard = root.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())
    installed = {"site-packages", "dist-packages"} & set(root.parts)
    return None if standard or installed else root


def _read(module: ModuleType, name: str) -> Sources:
    """Return the files that a module consists of now, as :func:`sources` describes them."""
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return {}
    root = _root(module, name)
    if root is None:
        return {f"{name.replace('.', '/')}{Path(file).suffix}": Path(file).read_bytes()}
    found: Sources = {}
    waiting = list(_files(root, name))
    while waiting:
        path = waiting.pop()
        relative = path.relative_to(root).as_posix()
        if relative not in found:
            found[relative] = path.read_bytes()
            for imported in _imports(found[relative], path.relative_to(root)):
                waiting += _files(root, imported)
    return found


def _files(root: Path, name: str) -> Iterator[Path]:
    """Yield the files of a module and of the packages around it, as far as they are in a folder."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path


def _imports(source: bytes, path: Path) -> Iterator[str]:
    """Yield the names that a file imports, those within its functions included."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = list(path.parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            start = [*base, *((node.module or "").split(".") if node.module else [])]
            yield from (".".join([*start, alias.name]) for alias in node.names)


def _is_among(key: str, module: Any, root: Path | None, files: Sources) -> bool:
    """Return whether a module of ``sys.modules`` was loaded from one of the user's files."""
    file = getattr(module, "__file__", None)
    if root is None or not file or key.partition(".")[0] in ("__main__", "mlplab"):
        return False
    path = Path(file).resolve()
    return path.is_relative_to(root) and path.relative_to(root).as_posix() in files
