"""Compiles the C++ files beside this one, once for each kind of processor, and loads the result.

XLA's CPU backend is slow at some parts of a step: convolutions and what goes with them,
normalisation, augmentation. In C++, as calls of XLA, these run on its own threads within the
compiled loop. The machine's C++ compiler makes them;
the extra ``native`` brings one. Without it, everything works as before, only slower.
"""

import ctypes
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from filelock import FileLock

from mlplab.cache import cache_dir, make_private
from mlplab.errors import first_line
from mlplab.text import line

HERE = Path(__file__).parent
CALLS = (
    "mlplab_convolve",
    "mlplab_convolve_back",
    "mlplab_depthwise",
    "mlplab_depthwise_to_images",
    "mlplab_depthwise_to_kernel",
    "mlplab_normalise",
    "mlplab_normalise_back",
    "mlplab_layer_normalise",
    "mlplab_layer_normalise_back",
    "mlplab_activate",
    "mlplab_activate_back",
    "mlplab_maximum",
    "mlplab_maximum_back",
    "mlplab_augment",
    "mlplab_mix",
)
"""What XLA is told of: each is a function of the library and the target of a call."""

SECONDS = 1200  # to compile, at most: Zig compiles its own libraries first
HOW = "install g++ or clang++, or: pip install 'mlplab[native]'"


def found() -> bool:
    """Return whether XLA can call the library; compile and load it for that."""
    return why_not() is None


def why_not() -> str | None:
    """Return why XLA cannot call the library, or ``None``."""
    there = loaded()
    return there if isinstance(there, str) else None


@cache
def loaded() -> ctypes.CDLL | str:
    """Return the library, known to XLA, or why there is none."""
    if os.environ.get("MLPLAB_NATIVE") == "0":
        return "MLPLAB_NATIVE is 0"
    if not is_wanted():
        return "it is for one CPU, of Linux or macOS"
    try:
        library = ctypes.CDLL(str(_compiled()))
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return first_line(error)
    for name in CALLS:
        handler = jax.ffi.pycapsule(getattr(library, name))  # type: ignore[no-untyped-call]
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
    return library


def before() -> str | None:
    """Return what a user waits for, if the library is not compiled yet."""
    if not is_wanted() or loaded.cache_info().currsize or _path().exists():
        return None
    return "compiling C++ for this processor, once" if _compiler() else None


def note() -> str | None:
    """Return what makes convolutions and normalisation faster, if there is something."""
    if not is_wanted() or found():
        return None
    return f"this network would be trained faster in C++; {why_not()}"


def factors_of(precision: str) -> int:
    """Return how the library multiplies in a precision: 0 as float32, otherwise in bfloat16.

    Without instructions for bfloat16, float32 is faster: then that is what is used.
    """
    there = loaded()
    if precision != "bfloat16" or isinstance(there, str):
        return 0
    return int(there.mlplab_bfloat16())


def call(
    name: str, results: Sequence[tuple[tuple[int, ...], str]], *arrays: jax.Array, **options: float
) -> Any:
    """Return what a function of the library makes of arrays, to be traced.

    Args:
        name: one of ``CALLS``.
        results: their shapes and data types.
        *arrays: its arguments.
        **options: its attributes: int64 if they are whole numbers, otherwise float32.
    """
    forms = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]  # type: ignore[no-untyped-call]
    numbers = {
        key: np.int64(value) if isinstance(value, int) else np.float32(value)
        for key, value in options.items()
    }
    return jax.ffi.ffi_call(name, forms, vmap_method="sequential")(*arrays, **numbers)


def one(name: str, shape: tuple[int, ...], *arrays: jax.Array, **options: float) -> jax.Array:
    """Return the only result of :func:`call`, in float32."""
    result: jax.Array
    (result,) = call(name, [(shape, "float32")], *arrays, **options)
    return result


def is_wanted() -> bool:
    """Return whether the library could be used here, and is not switched off."""
    here = jax.default_backend() == "cpu" and sys.platform in ("linux", "darwin")
    return here and len(jax.devices()) == 1 and os.environ.get("MLPLAB_NATIVE") != "0"


def _path() -> Path:
    """Return where the library is, or would be: another file for other sources or processors."""
    parts = [path.read_bytes() for path in sorted(HERE.glob("*.h")) + _sources()]
    parts.append(f"{jax.__version__} {platform.machine()} {_processor()}".encode())
    name = f"native-{hashlib.sha256(b' '.join(parts)).hexdigest()[:16]}.so"
    return cache_dir() / "native" / name


def _sources() -> list[Path]:
    return sorted(HERE.glob("*.cc"))


def _compiled() -> Path:
    """Return the library's file; compile it unless that was done before.

    Raises:
        RuntimeError: if there is no compiler, or it fails.
        OSError: if the cache cannot be written.
    """
    path = _path()
    make_private(path.parent)
    with FileLock(path.parent / ".lock", is_singleton=False):
        if not path.exists():
            aside = path.with_name(f".{path.name}")
            _compile(_sources(), aside)
            aside.replace(path)
    return path


def _compile(sources: list[Path], result: Path) -> None:
    """Compile the sources, all at the same time, and link them."""
    compiler = _compiler()
    if compiler is None:
        raise RuntimeError(f"there is no C++ compiler: {HOW}")
    # Code for this processor alone, with its widest vectors.
    here = "-march=native" if platform.machine() == "x86_64" else "-mcpu=native"
    words = [*compiler, "-O3", here, "-w", "-std=c++17", "-fPIC", f"-I{jax.ffi.include_dir()}"]
    with tempfile.TemporaryDirectory() as folder:
        objects = [str(Path(folder) / f"{source.stem}.o") for source in sources]
        parts = zip(sources, objects, strict=True)
        with ThreadPoolExecutor() as pool:
            list(pool.map(_run, [[*words, "-c", str(source), "-o", to] for source, to in parts]))
        _run([*compiler, "-shared", "-pthread", *objects, "-o", str(result)])


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {line(done.stderr)[:300]}")


def _compiler() -> list[str] | None:
    """Return the command of a C++ compiler: the machine's own, or Zig's from the extra."""
    for name in ("g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    return None


def _processor() -> str:
    """Return what tells kinds of processors apart: a cache may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return " ".join(sorted({text for text in lines if text.startswith(wanted)}))
