"""Pickled image batches, read without giving the pickle any power.

A pickle is a program that may call whatever it can name. This reader lets it name a handful of
things, and even these are stand-ins of our own: NumPy's code never runs on what a pickle says, and
a pickle can build nothing but arrays of numbers, bytes, strings, numbers, lists, tuples and dicts.
"""

import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlplab.data.published import Published
from mlplab.errors import DataError


def read_batch(path: Path, kind: Published) -> dict[str, Any]:
    """Read a pickled dict; keys that Python 2 wrote as bytes become strings.

    Raises:
        DataError: the file is damaged, or asks for something that image data has no need of.
    """
    try:
        with path.open("rb") as file:
            batch = _Unpickler(file, encoding="bytes").load()
        return {_text(key): _finished(value) for key, value in batch.items()}
    except _ForbiddenError as error:
        raise DataError(
            f"{path} asks for {error}, which image data has no need of; nothing of it was run.\n"
            f"Delete it and run `mlplab data fetch {kind.name}`."
        ) from None
    except Exception as error:  # a damaged pickle is a random program: it can raise anything
        raise kind.damaged(path, error) from None


class _ForbiddenError(Exception):
    pass


class _DType:
    """Stands for a ``numpy.dtype`` of plain numbers."""

    def __init__(self, code: Any) -> None:
        self.code = _text(code)
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def finished(self) -> np.dtype[Any]:
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in "biuf":
            raise _ForbiddenError(f"an array of {dtype}")
        return dtype


class _Array:
    """Stands for a ``numpy.ndarray``."""

    def __init__(self) -> None:
        self.array: NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        shape, dtype, is_fortran, raw = state[-4:]
        self.array = _from_buffer(raw, dtype, shape, "F" if is_fortran else "C")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Answer with stand-ins alone.

        They are bound methods because a pickle can set attributes of whatever it is handed: on an
        instance or a class of ours they might mean something, on a method they are never read.
        """
        if module.startswith("numpy.core."):  # its name before NumPy 2
            module = module.replace("numpy.core.", "numpy._core.", 1)
        known = {
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): self._dtype,
            ("numpy._core.multiarray", "_reconstruct"): self._reconstruct,
            ("numpy._core.multiarray", "scalar"): self._scalar,
            ("numpy._core.numeric", "_frombuffer"): self._frombuffer,
            ("_codecs", "encode"): self._encode,
            ("__builtin__", "bytes"): self._empty,
        }
        if (module, name) not in known:
            self._refuse(f"{module}.{name}")
        return known[module, name]

    def _refuse(self, what: str) -> NoReturn:
        raise _ForbiddenError(what)

    def _dtype(self, code: Any, *_: Any) -> _DType:
        return _DType(code)

    def _reconstruct(self, *_: Any) -> _Array:
        return _Array()

    def _scalar(self, dtype: _DType, raw: bytes) -> Any:
        return np.frombuffer(raw, dtype.finished()).item()

    def _frombuffer(self, raw: bytes, dtype: _DType, shape: Any, order: str) -> _Array:
        result = _Array()
        result.array = _from_buffer(raw, dtype, shape, order)
        return result

    def _encode(self, text: str, encoding: Any) -> bytes:
        if _text(encoding) not in ("latin1", "latin-1"):  # how Python 3 writes bytes for Python 2
            self._refuse(f"the encoding {encoding!r}")
        return text.encode("latin1")

    def _empty(self) -> bytes:
        return b""  # which Python 3 writes for Python 2 as a call of ``bytes``


def _from_buffer(raw: bytes, dtype: _DType, shape: Any, order: Any) -> NDArray[Any]:
    flat = np.frombuffer(raw, dtype.finished())
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _finished(value: Any) -> Any:
    return value.array if isinstance(value, _Array) else value
