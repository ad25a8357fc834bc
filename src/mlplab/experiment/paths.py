"""Where the user's own images are."""

from pathlib import Path

from mlplab.errors import RecipeError
from mlplab.files import expanded
from mlplab.recipes.recipe import Data


def absolute(settings: Data, path: Path | None = None) -> Data:
    """Return ``[data]`` with a path that means the same folder wherever it is read.

    Args:
        settings: of a recipe.
        path: where the folder is now, if it was moved.

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
    found = expanded(path or settings.path).resolve()
    return settings.model_copy(update={"path": str(found)})
