"""Facts about the images of a training that its findings rest on."""

import numpy as np

from mlplab.data import Splits
from mlplab.data.statistics import channel_statistics
from mlplab.runs.record import TrainingImages

SAMPLE = 1_000  # images whose pixels are counted


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
