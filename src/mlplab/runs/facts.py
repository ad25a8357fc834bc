"""What is known of a run before it is trained."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mlplab import recipes
from mlplab.models import saving
from mlplab.models.flops import flops_per_example
from mlplab.runs import environment
from mlplab.runs.prepare import Experiment
from mlplab.runs.record import Record
from mlplab.training import devices


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is given beside its recipe; none of it changes the result.

    Attributes:
        data_dir: a folder that holds the data set's.
        runs_dir: where the run folder is made.
        name: of the run; by default ``<recipe>-<date>-<time>-s<seed>``.
        group: a label that comparisons can use.
        recipe_name: what the recipe is called.
        command: what repeats the run.
        open_test: ``False`` leaves the test split closed.
        devices: ``"all"`` or a number of them, which share each batch.
        trust: load code of the user's own that the recipe names.
        profile: time and trace some steps when training has ended.
        checkpoint_seconds: least time from one checkpoint to the next at the end of epochs; within
            an epoch ten times as much.
        keep: ``all``, ``model`` (no figures, diagnostics, events and page) or ``results`` (no
            network either), as trials of studies do.
    """

    data_dir: Path | None = None
    runs_dir: Path = Path("runs")
    name: str | None = None
    group: str | None = None
    recipe_name: str = "recipe"
    command: str = ""
    open_test: bool = True
    devices: str = "1"
    trust: bool = False
    profile: bool = False
    checkpoint_seconds: float = 30.0
    keep: Literal["all", "model", "results"] = "all"


KEPT = ("open_test", "devices", "profile", "checkpoint_seconds", "keep")  # for who resumes the run


def first_record(experiment: Experiment, options: Options, name: str) -> Record:
    """Return the record that a run begins with."""
    recipe, dataset, model = experiment.recipe, experiment.dataset, experiment.model
    return Record(
        name=name,
        group=options.group,
        recipe=options.recipe_name,
        command=options.command,
        config_id=recipes.config_id(recipe, {s.run: s.config_id for s in experiment.sources}),
        seed=recipe.seed,
        data=dataset.name,
        data_id=dataset.data_id,
        class_names=list(dataset.class_names),
        image_shape=list(dataset.train.images.shape[1:]),
        skipped=list(dataset.skipped),
        parameters=model.count_params(),
        flops_per_example=flops_per_example(model),
        selected_on="test" if experiment.selects_on_test else "validation",
        precision=recipe.training.precision,
        device=environment.device(len(devices.choose(options.devices))),
        versions=environment.versions(),
        git=environment.git(),
        started=now(),
        options={key: getattr(options, key) for key in KEPT},
        model_summary=saving.summary(model),
        sources=experiment.sources,
    )


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
