"""Pickled image batches, read without running what the pickle asks for.

A pickle is a program that may call whatever it can name. This reader lets it name only a handful of
things, and replaces even these by its own stand-ins: NumPy's code never runs on what a pickle says,
and a pickle can build only arrays of numbers, bytes, strings, numbers, lists, tuples and dicts.

It is based on Python's reader in Python, not the one in C, which would give a pickle of ten bytes
the 32 GB of memory that it asks for (a memo of 2**31 places).
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from mlplab.data.published import LARGEST, Published
from mlplab.errors import DataError


def read_batch(path: Path, kind: Published) -> dict[str, Any]:
    """Read a pickled dict; keys that Python 2 wrote as bytes become strings.

    Raises:
        DataError: the file is damaged, or asks for something that image data does not need.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        content = path.read_bytes()
        batch = _Unpickler(content).load()
        return {_text(key): _finished(value) for key, value in batch.items()}
    except _ForbiddenError as error:
        raise DataError(
            f"{path} asks for {error}, which image data does not need; none of it was run.\n"
            f"Delete it and run `mlplab data fetch {kind.name}`."
        ) from None
    except Exception as error:  # a damaged pickle is a random program: it can raise anything
        raise kind.damaged(path, error) from None


class _ForbiddenError(Exception):
    pass


class _DType:
    """Stand-in for a ``numpy.dtype`` of plain numbers."""

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
    """Stand-in for a ``numpy.ndarray``."""

    def __init__(self) -> None:
        self.array: NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        shape, dtype, is_fortran, raw = state[-4:]
        self.array = _from_buffer(raw, dtype, shape, "F" if is_fortran else "C")


# The opcodes of dumps of plain values and arrays, under every protocol. Left out are those for
# sets, copies, data outside the file, and objects not made by calling a stand-in.
OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2),
    *(pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT, pickle.BINFLOAT),
    *(pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.UNICODE, pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
    *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
    *(pickle.LIST, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.DICT, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.TUPLE, pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE),
    *(pickle.GET, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD),
)

LONGEST_WORD = 200
MOST_OPCODES = 2_000_000
"""A batch of 50,000 images with their names has 200,000; each can make an object of 60 bytes."""

_READERS: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch


def _counted(read: Callable[[Any], None]) -> Callable[["_Unpickler"], None]:
    def counted(unpickler: "_Unpickler") -> None:
        unpickler.opcodes += 1
        if unpickler.opcodes > MOST_OPCODES:
            unpickler._refuse("more objects than a batch has")
        read(unpickler)

    return counted


class _Unpickler(pickle._Unpickler):
    opcodes = 0
    stack: list[Any]
    memo: dict[int, Any]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.to_encode = self.largest_number = len(content)

    def find_class(self, module: str, name: str) -> Any:
        """Return only stand-ins."""
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
            self._refuse(f"{module}.{name}"[:LONGEST_WORD])
        return known[module, name]

    def _refuse(self, what: str) -> NoReturn:
        raise _ForbiddenError(what)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    def _dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._fill(self.stack[-1], items)

    def _fill(self, table: dict[Any, Any], items: list[Any]) -> None:
        """Fill a dict whose keys are text: other keys can be chosen so that it takes forever."""
        if not all(isinstance(key, str | bytes) for key in items[::2]):
            self._refuse("keys that are not words")
        table.update(zip(items[::2], items[1::2], strict=True))

    def _put(self) -> None:
        """Store what was read under the next number; writers of pickles count from 0."""
        number = int(self.readline()[:-1])
        if not 0 <= number <= self.largest_number:
            self._refuse("a number that is out of order")
        self.memo[number] = self.stack[-1]

    def _build(self) -> None:
        """Set the state of a stand-in; nothing else has one."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _DType):
            self._refuse("another object")
        self.stack[-1].__setstate__(state)

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
            self._refuse("another encoding")
        self.to_encode -= len(text)
        if self.to_encode < 0:
            self._refuse("the same text again and again")
        return text.encode("latin1")

    def _empty(self) -> bytes:
        return b""  # which Python 3 writes for Python 2 as a call of ``bytes``

    own: ClassVar[dict[int, Any]] = {
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
        pickle.BUILD[0]: _build,
        pickle.PUT[0]: _put,
        # Read as bytes: Python would first fill as many as the pickle declares with zeros.
        pickle.BYTEARRAY8[0]: _READERS[pickle.BINBYTES8[0]],
    }
    dispatch: ClassVar[dict[int, Any]] = {
        code: _counted(read)
        for code, read in ({code[0]: _READERS[code[0]] for code in OPCODES} | own).items()
    }


def _from_buffer(raw: bytes, dtype: _DType, shape: Any, order: Any) -> NDArray[Any]:
    if not all(isinstance(side, int) for side in shape):
        raise TypeError("a shape is not of numbers")
    flat = np.frombuffer(raw, dtype.finished())
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes | int):  # nested lists can take forever as text
        raise TypeError("a word is something else")
    if not isinstance(value, int) and len(value) > LONGEST_WORD:
        raise TypeError("a word is too long")
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _finished(value: Any) -> Any:
    return value.array if isinstance(value, _Array) else value
