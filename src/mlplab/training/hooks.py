"""Which of Keras's hooks a callback listens to."""

from collections.abc import Sequence

import keras

SAVES = (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)
BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")


def on_batches(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback has a hook on each training batch that does something."""
    # Those of Keras that save do nothing in theirs if they save after epochs.
    saves = [kind for kind in SAVES if isinstance(callback, kind) and callback.save_freq == "epoch"]
    return overrides(callback, BATCH_HOOKS, *saves)


def needs_batches(callback: keras.callbacks.Callback) -> bool:
    """Return whether training with the engine has to call a callback for each batch."""
    # The engine itself ends at a loss that is not finite.
    return not isinstance(callback, keras.callbacks.TerminateOnNaN) and on_batches(callback)


def on_validation_batches(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback has a hook on each batch of validation."""
    return overrides(callback, TEST_BATCH_HOOKS)


def overrides(
    callback: keras.callbacks.Callback,
    hooks: Sequence[str],
    base: type[keras.callbacks.Callback] = keras.callbacks.Callback,
) -> bool:
    """Return whether a callback defines any of some hooks otherwise than a class it is of."""
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(base, hook)
        for hook in hooks
    )
