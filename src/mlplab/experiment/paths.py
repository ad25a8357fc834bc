"""Where the user's own images are, and how a run read them."""

from pathlib import Path

from mlplab.data import Dataset, given
from mlplab.data.hub import SCHEME, pinned, unpinned
from mlplab.errors import RecipeError
from mlplab.files import expanded
from mlplab.recipes.recipe import Data
from mlplab.runs.record import Record


def absolute(settings: Data, path: Path | None = None) -> Data:
    """Return ``[data]`` with a path that means the same wherever it is read.

    Args:
        settings: of a recipe.
        path: where the folder or file is now, if it was moved.

    Raises:
        RecipeError: if a path is given for a data set without one.
        UserError: if it starts with a home folder that does not exist.
    """
    if settings.path is None:
        if path is not None:
            raise RecipeError(
                f"--data-path is for data.name = 'folder'; for {settings.name}, use --data-dir"
            )
        return settings
    if path is None and not is_file(settings):
        return settings
    update = {"path": str(expanded(path or settings.path).resolve())}
    if settings.exclude is not None:
        update["exclude"] = str(expanded(settings.exclude).resolve())
    return settings.model_copy(update=update)


def is_remote(settings: Data) -> bool:
    """Return whether the images are on the Hugging Face hub."""
    return (settings.path or "").startswith(SCHEME)


def is_file(settings: Data) -> bool:
    """Return whether the images are in a folder or a file of this machine."""
    return not (settings.path or "").startswith((SCHEME, given.SCHEME))


def resolved(settings: Data, dataset: Dataset) -> Data:
    """Return ``[data]`` with the channels that the images were found to have.

    The path of images on the hub gets the revision that was loaded.
    """
    if settings.path is None:
        return settings
    path = pinned(settings.path) if is_remote(settings) else settings.path
    channels = dataset.train.images.shape[-1]
    return settings.model_copy(update={"channels": channels, "path": path})


def same_place(one: Data, other: Data) -> bool:
    """Return whether two recipes name the same images, in any revision of those on the hub."""
    first, second = absolute(one), absolute(other)
    if first.path and second.path and is_remote(first) and is_remote(second):
        return unpinned(first.path) == unpinned(second.path)
    return first.path == second.path


def as_recorded(settings: Data, record: Record) -> Data:
    """Return ``[data]`` with the channels that a run's network takes.

    Recipes written before ``data.channels`` existed do not say it: grey images had three then.
    """
    if settings.path is None or not record.image_shape:
        return settings
    return settings.model_copy(update={"channels": record.image_shape[-1]})
