import contextlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlplab.data.pickles import read_batch
from mlplab.data.published import CIFAR10
from mlplab.errors import DataError

NUMBERS = hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes(sizes=(32, 64))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles") / "batch"


@settings(max_examples=40, deadline=None)
@given(
    array=hnp.arrays(NUMBERS, hnp.array_shapes(max_dims=3, min_side=0)),
    plain=PLAIN,
    is_fortran=st.booleans(),
    protocol=st.integers(2, 5),
)
def test_arrays_and_plain_values_come_back(path, array, plain, is_fortran, protocol):
    array = np.asfortranarray(array) if is_fortran else array
    path.write_bytes(pickle.dumps({"data": array, "rest": plain}, protocol))
    batch = read_batch(path, CIFAR10)
    np.testing.assert_array_equal(batch["data"], array)
    assert batch["data"].dtype == array.dtype
    assert batch["rest"] == plain


def test_numpy_scalars_become_numbers(path):
    path.write_bytes(pickle.dumps({"labels": [np.int64(3), np.float32(0.5)]}))
    assert read_batch(path, CIFAR10) == {"labels": [3, 0.5]}


class Calls:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
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
def test_nothing_else_is_built(path, value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(pickle.dumps({"data": value}, protocol))
    with pytest.raises(DataError, match=r"asks for .*nothing of it was run"):
        read_batch(path, CIFAR10)
    assert list(tmp_path.iterdir()) == []


def test_the_reader_itself_cannot_be_changed(path):
    # GLOBAL numpy.dtype, then BUILD with (None, {"__func__": 1}): sets attributes of what it got.
    path.write_bytes(b"\x80\x02cnumpy\ndtype\n(NX\x08\x00\x00\x00__func__K\x01d\x86b.")
    with pytest.raises(DataError, match="damaged"):
        read_batch(path, CIFAR10)


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=60))
def test_junk_is_a_data_error_at_worst(path, junk):
    path.write_bytes(junk)
    with contextlib.suppress(DataError):
        assert isinstance(read_batch(path, CIFAR10), dict)
