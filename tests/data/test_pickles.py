import contextlib
import itertools
import os
import pickle
import sys
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mlplab.data.batches import unpacked_source
from mlplab.data.pickles import read_batch
from mlplab.data.published import CIFAR10
from mlplab.errors import DataError

NUMBERS = hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes(sizes=(32, 64))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles") / "batch"


@settings(max_examples=40, deadline=None)
@given(
    array=hnp.arrays(NUMBERS, hnp.array_shapes(max_dims=3, min_side=0)),
    plain=VALUES,
    is_fortran=st.booleans(),
    protocol=st.integers(2, 5),
)
def test_arrays_and_plain_values_come_back(
    path: Path, array: NDArray[Any], plain: Any, is_fortran: bool, protocol: int
) -> None:
    array = np.asfortranarray(array) if is_fortran else array
    path.write_bytes(pickle.dumps({"data": array, "rest": plain}, protocol))
    batch = read_batch(path, CIFAR10)
    np.testing.assert_array_equal(batch["data"], array)
    assert batch["data"].dtype == array.dtype
    assert batch["rest"] == plain


def test_numpy_scalars_become_numbers(path: Path) -> None:
    path.write_bytes(pickle.dumps({"labels": [np.int64(3), np.float32(0.5)]}))
    assert read_batch(path, CIFAR10) == {"labels": [3, 0.5]}


class Calls:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        Calls(os.mkdir, "made-by-a-pickle"),
        Calls(eval, "1 + 1"),
        Calls(getattr, b"", "join"),
        Calls(np.load, "elsewhere.npy"),
        OrderedDict(a=1),
        np.array([{}], dtype=object),
        Path("elsewhere"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_else_is_built(
    path: Path, value: Any, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path.write_bytes(pickle.dumps({"data": value}, protocol))
    with pytest.raises(DataError, match=r"asks for .*none of it was run"):
        read_batch(path, CIFAR10)
    assert list(tmp_path.iterdir()) == []


def test_the_reader_itself_cannot_be_changed(path: Path) -> None:
    # GLOBAL numpy.dtype, then BUILD with {"a": 1}: sets attributes of what it got.
    path.write_bytes(b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.")
    with pytest.raises(DataError, match="another object"):
        read_batch(path, CIFAR10)


def doubled(times: int, inner: bytes, pair: bytes) -> bytes:
    """Pickle a pair of twice the same pair of twice … what is inside."""
    return (
        inner
        + b"q\x00"
        + b"".join(b"h" + bytes([n]) + pair + b"q" + bytes([n + 1]) for n in range(times))
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x80\x02}r\xff\xff\xff\x7f.", id="a memo of 2**31 places"),
        pytest.param(b"\x80\x02}X\x01\x00\x00\x00aB\xff\xff\xff\x7fxs.", id="2 GB announced"),
        pytest.param(b"\x80\x05}\x96\x00\x00\x00\x00\xff\x00\x00\x00x.", id="a terabyte announced"),
        pytest.param(b"\x80\x02}K\x01Ns.", id="a key that could be chosen by its hash"),
        pytest.param(b"\x80\x02}p" + str(2**61 - 1).encode() + b"\n.", id="a number out of order"),
        pytest.param(b"\x80\x02}" + doubled(60, b"N", b"\x86") + b"Ns.", id="a key of 2**60 parts"),
    ],
)  # fmt: skip
def test_a_short_pickle_takes_neither_much_work_nor_much_memory(path: Path, content: bytes) -> None:
    """What C code does within a call is not counted: a hash of 2**60 parts would never end."""
    path.write_bytes(content)
    calls = itertools.count()
    tracemalloc.start()
    sys.setprofile(lambda *event: next(calls))
    try:
        with contextlib.suppress(DataError):
            assert read_batch(path, CIFAR10) == {}
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert next(calls) < 10_000
    assert peak < 1_000_000


def test_text_is_not_encoded_again_and_again(path: Path) -> None:
    text = b"X\x00\x10\x00\x00" + 4096 * b"a" + b"q\x00"
    encode = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0"
    path.write_bytes(b"\x80\x02" + text + 3 * encode + b"}.")
    with pytest.raises(DataError, match="again and again"):
        read_batch(path, CIFAR10)


def test_labels_that_are_lists_in_lists_are_refused(tmp_path: Path) -> None:
    tower: list[Any] = [1, 2]
    for _ in range(40):
        tower = [tower, tower]
    for name in (*CIFAR10.train_files, *CIFAR10.test_files):
        (tmp_path / name).write_bytes(
            pickle.dumps({"data": np.zeros((2, 3072), "u1"), "labels": tower})
        )
    with pytest.raises(DataError, match="labels are not numbers"):
        unpacked_source(tmp_path, CIFAR10).read()  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=60))
def test_junk_is_a_data_error_at_worst(path: Path, junk: bytes) -> None:
    path.write_bytes(junk)
    with contextlib.suppress(DataError):
        assert isinstance(read_batch(path, CIFAR10), dict)
