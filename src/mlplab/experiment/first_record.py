"""The record that a run starts with: what is known before training."""

import numpy as np

from mlplab import recipes
from mlplab.data import Splits
from mlplab.data.statistics import channel_statistics
from mlplab.experiment import data_checks, environment, isolation
from mlplab.experiment.options import KEPT, Options
from mlplab.experiment.prepare import Experiment
from mlplab.models import saving
from mlplab.models.flops import flops_per_example
from mlplab.runs.record import Record, TrainingImages
from mlplab.training import devices

SAMPLE = 1_000  # images whose pixels are counted


def first_record(experiment: Experiment, options: Options, name: str, digest: str | None) -> Record:
    """Return the record that a run starts with.

    Args:
        experiment: what is trained.
        options: of the run.
        name: of the run.
        digest: of the user's own code that the recipe names; ``None`` if it names none.
    """
    recipe, dataset, model = experiment.recipe, experiment.dataset, experiment.model
    return Record(
        name=name,
        group=options.group,
        recipe=options.recipe_name,
        command=options.command,
        config_id=recipes.config_id(
            recipe, {s.run: s.config_id for s in experiment.sources}, dataset.source_id, digest
        ),
        code=digest,
        seed=recipe.seed,
        data=dataset.name,
        data_path=recipe.data.path or "",
        data_id=dataset.data_id,
        source_id=dataset.source_id,
        class_names=list(dataset.class_names),
        image_shape=list(dataset.train.images.shape[1:]),
        skipped=list(dataset.skipped),
        repeated=data_checks.repeated(dataset, experiment.splits),
        images=training_images(experiment.splits, len(dataset.class_names)),
        parameters=model.count_params(),
        flops_per_example=flops_per_example(model),
        selected_on="test" if experiment.selects_on_test else "validation",
        precision=recipe.training.precision,
        device=environment.device(len(devices.choose(options.devices))),
        versions=environment.versions(),
        variables=isolation.variables(),
        git=environment.git(),
        started=environment.now(),
        options={key: getattr(options, key) for key in KEPT},
        model_summary=saving.summary(model),
        sources=experiment.sources,
    )


def training_images(splits: Splits, classes: int) -> TrainingImages:
    """Return the facts about the images of a training that findings rest on."""
    train = splits.train
    sample = train.images[:: max(1, len(train) // SAMPLE)]
    mean, variance = channel_statistics(sample)
    return TrainingImages(
        count=len(train),
        validation=len(splits.validation),
        by_class=np.bincount(train.labels, minlength=classes).tolist(),
        pixel_mean=float(mean.mean()),
        pixel_deviation=float(np.sqrt(variance.mean() + mean.var())),
    )
