"""Which of Keras's hooks a callback listens to."""

from collections.abc import Sequence

import keras

BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")


def on_batches(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback needs a hook on each training batch."""
    if isinstance(callback, keras.callbacks.TerminateOnNaN):
        return False  # the loop itself ends at a loss that is not finite
    saves = keras.callbacks.ModelCheckpoint | keras.callbacks.BackupAndRestore
    if isinstance(callback, saves) and callback.save_freq == "epoch":
        return False  # its batch hook does nothing then
    return overrides(callback, BATCH_HOOKS)


def on_validation_batches(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback has a hook on each batch of validation."""
    return overrides(callback, TEST_BATCH_HOOKS)


def overrides(callback: keras.callbacks.Callback, hooks: Sequence[str]) -> bool:
    """Return whether a callback defines any of some hooks."""
    return any(
        getattr(getattr(callback, hook), "__func__", None)
        is not getattr(keras.callbacks.Callback, hook)
        for hook in hooks
    )
