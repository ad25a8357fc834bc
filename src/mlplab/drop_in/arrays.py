"""A program's own arrays, as Keras would pass them to a step, on the device."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from numpy.typing import NDArray

from mlplab.errors import DataError
from mlplab.text import counted

SCALAR = (bool, int, float, str, np.generic)


@dataclass(frozen=True, eq=False)
class Examples:
    """Arrays on the device.

    Attributes:
        tree: what a step gets, of all examples: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.
        count: how many examples there are.
    """

    tree: Any
    count: int

    @property
    def positions(self) -> NDArray[np.int32]:
        """The positions of all examples, int32 [n]: what Keras's loop shuffles and cuts."""
        return np.arange(self.count, dtype=np.int32)


def as_arrays(given: Any, name: str) -> Any:
    """Return data with an array in place of each list of numbers or texts, however deep.

    ``[[1, 2], [3, 4]]`` is one array of two rows. A list of arrays stays a list, of several inputs.
    Columns of a pandas table that may lack values become floating point, with NaN where one is
    missing.

    Args:
        given: data in any form.
        name: what an error calls it.

    Raises:
        DataError: if the rows of a list differ in length, some of its numbers are missing, or a
            table has columns that are not numbers.
    """
    if is_table(given):
        return _of_numbers(given, name)
    if isinstance(given, dict):
        return {key: as_arrays(value, f"{name}[{key!r}]") for key, value in given.items()}
    if type(given) not in (list, tuple) or not given:  # a named tuple is a structure of inputs
        return given
    items = list(_items(given))
    scalars = [item for item in items if isinstance(item, SCALAR)]
    if scalars and len(scalars) + sum(item is None for item in items) == len(items):
        if len(scalars) < len(items):
            raise DataError(f"{name} has None among its numbers: leave these examples out")
        try:
            return np.asarray(given)
        except ValueError as error:
            raise DataError(f"the rows of {name} differ in length") from error
    return type(given)(as_arrays(item, f"{name}[{at}]") for at, item in enumerate(given))


def is_table(given: Any) -> bool:
    """Return whether something is a table or a column of pandas."""
    return type(given).__module__.partition(".")[0] == "pandas" and hasattr(given, "to_numpy")


def _of_numbers(table: Any, name: str) -> Any:
    """Return a table or a column of pandas with the data types of NumPy.

    Raises:
        DataError: naming the columns that hold something else.
    """
    from pandas.api.types import is_extension_array_dtype, is_numeric_dtype

    if table.ndim == 1:
        if not is_numeric_dtype(table.dtype):
            return table.to_numpy()
        return table.astype(float) if is_extension_array_dtype(table.dtype) else table
    types = dict(table.dtypes)
    if others := [str(key) for key, kind in types.items() if not is_numeric_dtype(kind)]:
        raise DataError(
            f"{name} has {counted(len(others), 'column')} without numbers: {', '.join(others[:5])}"
            f"{' …' if len(others) > 5 else ''}. "
            + (
                "Number the classes: names, y = np.unique(y, return_inverse=True)"
                if name.endswith("y")
                else "Turn text that holds numbers into them with pandas.to_numeric, and categories"
                " with pandas.get_dummies"
            )
        )
    nullable = {key: float for key, kind in types.items() if is_extension_array_dtype(kind)}
    return table.astype(nullable) if nullable else table


def gathered(tree: Any, positions: jax.Array) -> Any:
    """Return the examples of a tree at some of its positions; to be traced."""
    return jax.tree.map(lambda array: array.at[positions].get(mode="promise_in_bounds"), tree)


def _items(given: Any) -> Iterator[Any]:
    """Yield what lists in lists hold."""
    if type(given) not in (list, tuple):
        yield given
        return
    for item in given:
        yield from _items(item)


def in_pieces(batches: Iterator[Any], most: int) -> Iterator[tuple[Any, int]]:
    """Yield batches of positions in rows, as they come.

    Args:
        batches: int32 [batch], of which the last one may be smaller; on a GPU Keras's loop has put
            them on the device, where they stay.
        most: rows of a piece.

    Yields:
        ``(rows, count)``: int32 [most, batch], of which the first ``count`` are given, so that all
        pieces have one shape; or [1, batch] for a batch that is alone or smaller.
    """
    size = 0
    while rows := list(itertools.islice(batches, most)):
        alone = not size and len(rows) == 1
        size = size or len(rows[0])
        whole = [] if alone else [row for row in rows if len(row) == size]
        if whole:
            stack = np.stack if isinstance(rows[0], np.ndarray) else jnp.stack
            yield stack([*whole, *[whole[0]] * (most - len(whole))]), len(whole)
        for row in rows[len(whole) :]:
            yield row[None], 1


def in_rows(batches: list[Any]) -> list[NDArray[np.int32]]:
    """Return batches of positions as rows: int32 [steps, batch], and [1, rest] for a remainder."""
    rows = [np.asarray(batch) for batch in batches]
    whole = [row for row in rows if len(row) == len(rows[0])]
    return [np.stack(whole), *(row[None] for row in rows[len(whole) :])]


def examples(
    x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None
) -> Examples:
    """Return arrays as Keras's own adapter converts them.

    Raises:
        ValueError: Keras's own, if lengths differ or weights do not fit.
    """
    leaves = [leaf for leaf in keras.tree.flatten((x, y)) if leaf is not None]
    count = len(leaves[0]) if leaves else 0
    adapter = ArrayDataAdapter(
        x,
        y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        batch_size=max(1, count),
        shuffle=False,
    )
    (whole,) = adapter.get_jax_iterator()
    # None stays where it is: it says which inputs and weights are missing.
    return Examples(jax.tree.map(jax.device_put, whole), count)


def unpacked(data: Any) -> tuple[Any, Any, Any]:
    """Return x, y and sample weights of validation data as Keras takes them apart."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return x, y, sample_weight
