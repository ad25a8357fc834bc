"""What a tracker is told about a run, and the trackers that a recipe can name."""

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from mlplab.errors import RecipeError, first_line

Service = Literal["mlflow", "wandb", "trackio"]
"""The trackers, by the names of their packages; each has a module here, ``to_<name>``."""

SECRET = re.compile(r"(?<=//)[^/@\s]+@|(?<=token=)[^&\s]+|(?<=key=)[^&\s]+|(?<=password=)[^&\s]+")


@dataclass(frozen=True)
class Facts:
    """What a tracker is told about a run at the start.

    Attributes:
        project: under which the run is listed.
        name: of the run.
        settings: the recipe's keys, flattened: ``"model.hidden": [1024, 1024]``.
        config_id: identity of its configuration.
        seed: the recipe's.
    """

    project: str
    name: str
    settings: Mapping[str, Any]
    config_id: str
    seed: int


class Tracker(Protocol):
    """One run at a tracker. Every method may take long, and may raise anything."""

    id: str
    """By which the tracker finds the run again."""

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Add the metrics of an epoch, counted from 1."""

    def end(self, metrics: Mapping[str, float], step: int, status: str) -> None:
        """Add the final metrics and say how the run ended: as ``Record.status``."""


def begin(service: Service, facts: Facts, known: str | None) -> Tracker:
    """Start a run at a tracker, or continue one.

    Args:
        service: the tracker.
        facts: of the run.
        known: the ``id`` of the tracker's run to continue, if any.
    """
    module = importlib.import_module(f"mlplab.tracking.to_{service}")
    return cast(Tracker, module.begin(facts, known))


def check_installed(service: Service, where: str) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        RecipeError: with the command that installs it.
    """
    if importlib.util.find_spec(service) is None:
        raise RecipeError(
            f"{where}.to = '{service}' needs the package {service}: pip install 'mlplab[{service}]'"
        )


def flattened(tables: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested tables as one, with keys such as ``optimizer.learning_rate``."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{path}.{key}" if path else key
        flat |= flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return flat


def final(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return a record's metrics as numbers by names such as ``validation/accuracy``."""
    return {
        f"{split}/{key}": float(value)
        for split, measured in metrics.items()
        for key, value in measured.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def reason(error: BaseException) -> str:
    """Return an error in one line, without the passwords and tokens of addresses in it."""
    return SECRET.sub("…", first_line(Exception(str(error) or type(error).__name__)))
