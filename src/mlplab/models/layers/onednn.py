"""oneDNN's convolutions as calls of XLA, where they can be had: see the extra ``native``.

XLA's CPU backend has no fast convolution within a loop. oneDNN, which PyTorch and TensorFlow use,
has; the extra brings it, and ``onednn.cc`` is compiled once, when it is first needed, by the C++
compiler of the machine. Without either, everything works as before.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from filelock import FileLock

from mlplab.cache import cache_dir, make_private
from mlplab.errors import first_line
from mlplab.text import line

SOURCE = Path(__file__).with_suffix(".cc")
LIBRARY, HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"
TARGET = "mlplab_convolve"
FORWARD, TO_IMAGES, TO_KERNEL = 0, 1, 2
SECONDS = 300  # to compile, at most

Margin = tuple[tuple[int, ...], tuple[int, ...]]
"""Zeros above and below, left and right."""


def found() -> bool:
    """Return whether convolutions can be left to oneDNN; compile what is missing for that."""
    return why_not() is None


def why_not() -> str | None:
    """Return why convolutions cannot be left to oneDNN, or ``None``."""
    there = loaded()
    return there if isinstance(there, str) else None


@cache
def loaded() -> ctypes.CDLL | str:
    """Return the compiled source, known to XLA, or why there is none."""
    if os.environ.get("MLPLAB_NATIVE") == "0":
        return "MLPLAB_NATIVE is 0"
    if not _is_for(jax.default_backend()) or len(jax.devices()) > 1:
        return "it is for one CPU, of Linux on x86-64"
    library, header = _file(LIBRARY, "libdnnl.so.3"), _file(HEADERS, "oneapi/dnnl/dnnl.hpp")
    if library is None or header is None:
        return "the extra is not installed: pip install 'mlplab[native]'"
    compiler = shutil.which("g++") or shutil.which("clang++")
    try:
        path = _compiled(library, header.parents[2], compiler)
        there = ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return first_line(error)
    handler = jax.ffi.pycapsule(there.mlplab_convolve)  # type: ignore[no-untyped-call]
    jax.ffi.register_ffi_target(TARGET, handler, platform="cpu")
    return there


def note() -> str | None:
    """Return what a user of convolutions can do to make them faster, if there is something."""
    if found() or os.environ.get("MLPLAB_NATIVE") == "0" or not _is_for(jax.default_backend()):
        return None
    return f"convolutions would be faster with oneDNN; {why_not()}"


def _is_for(backend: str) -> bool:
    return backend == "cpu" and sys.platform == "linux" and platform.machine() == "x86_64"


def dtype(precision: str) -> str:
    """Return the factors' data type: without instructions for bfloat16, float32 is faster."""
    there = loaded()
    assert not isinstance(there, str)
    return precision if there.mlplab_has_bfloat16() else "float32"


def convolve(
    kind: int,
    a: jax.Array,
    b: jax.Array,
    shape: tuple[int, ...],
    stride: int,
    around: Margin,
    pieces: int = 0,
) -> jax.Array:
    """Return a convolution or one of its gradients, float32 in the given shape.

    Args:
        kind: ``FORWARD`` of images and kernel; ``TO_IMAGES`` of the gradient and the kernel;
            ``TO_KERNEL`` of images and gradient.
        a: [n, height, width, channels], float32 or bfloat16.
        b: likewise, or [side, side, channels, out], of the same type.
        shape: of the result.
        stride: in both directions.
        around: zeros above and below, left and right of the images.
        pieces: of the images, for as many threads; by default one for each of XLA's.
    """
    (top, bottom), (left, right) = around
    numbers = {"kind": kind, "stride": stride, "pieces": pieces}
    numbers |= {"top": top, "bottom": bottom, "left": left, "right": right}
    form = jax.ShapeDtypeStruct(shape, jnp.float32)  # type: ignore[no-untyped-call]
    call = jax.ffi.ffi_call(TARGET, form, vmap_method="sequential")
    result: jax.Array = call(a, b, **{key: np.int64(value) for key, value in numbers.items()})
    return result


def _file(package: str, name: str) -> Path | None:
    """Return where an installed package has a file."""
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.as_posix().endswith(name))
    return next((path.resolve() for path in paths if path.exists()), None)


def _compiled(library: Path, headers: Path, compiler: str | None) -> Path:
    """Return the compiled source; compile it unless that was done before.

    Raises:
        RuntimeError: if there is no compiler, or it fails.
        OSError: if the cache cannot be written.
    """
    versions = f"{jax.__version__} {metadata.version(LIBRARY)} {library}"
    key = [SOURCE.read_bytes(), versions.encode()]
    name = f"onednn-{hashlib.sha256(b' '.join(key)).hexdigest()[:16]}.so"
    folder = cache_dir() / "native"
    make_private(folder)
    with FileLock(folder / ".lock", is_singleton=False):
        if (folder / name).exists():
            return folder / name
        if compiler is None:
            raise RuntimeError("there is no C++ compiler: install g++")
        aside = folder / f".{name}"
        words = [compiler, "-O3", "-w", "-std=c++17", "-fPIC", "-shared", "-fopenmp"]
        words += [f"-I{jax.ffi.include_dir()}", f"-I{headers}", str(SOURCE), "-o", str(aside)]
        words += [str(library), f"-Wl,-rpath,{library.parent}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"{compiler} failed: {line(done.stderr)[:300]}")
        aside.replace(folder / name)
    return folder / name
