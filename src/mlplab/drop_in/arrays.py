"""A program's own arrays, as Keras would pass them to a step, on the device."""

from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from numpy.typing import NDArray


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


def gathered(tree: Any, positions: jax.Array) -> Any:
    """Return the examples of a tree at some of its positions; to be traced."""
    return jax.tree.map(lambda array: array.at[positions].get(mode="promise_in_bounds"), tree)


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
