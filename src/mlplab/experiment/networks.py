"""The network of a finished run, loaded."""

import keras

from mlplab.errors import RunError
from mlplab.experiment.isolation import isolated
from mlplab.models import saving
from mlplab.models.user_code import load_object
from mlplab.recipes.networks import CustomModel
from mlplab.runs import layout
from mlplab.runs.run import Run


@isolated()
def load_network(run: Run, trust: bool = False) -> keras.Model:
    """Return a run's trained network: raw uint8 [n, height, width, channels] to probabilities.

    Args:
        run: the trained run.
        trust: import the user's own module that the recipe names, for its classes.

    Raises:
        RunError: if the run has no network, or its file is damaged.
    """
    path = run.folder / layout.MODEL
    if not path.is_file():
        raise RunError(f"{run.name} has no trained network ({run.record.status})")
    settings = run.recipe.model
    if trust and isinstance(settings, CustomModel):
        load_object(settings.name, trust=True)
    return saving.load(path, settings.most_layers)
