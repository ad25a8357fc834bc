"""Experiments with one known fault each, and sound ones, for :mod:`benchmarks.advice`."""

from dataclasses import dataclass
from typing import Any

SOUND: dict[str, dict[str, Any]] = {
    # In each, no single change that mlplab advises raises validation accuracy by a point.
    "digits": {
        "data": {"image_size": 8},
        "model": {"hidden": [128, 128], "dropout": 0.2},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "training": {"epochs": 40, "batch_size": 32},
    },
    "glyphs": {
        "data": {"image_size": 14},
        "model": {"hidden": [128, 128], "dropout": 0.1},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "augment": {"shift": 1},
        "training": {"epochs": 30, "batch_size": 32},
    },
    "cifar": {
        "data": {"image_size": 16},
        "model": {"hidden": [256, 256], "dropout": 0.2},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "augment": {"flip": "random", "shift": 1},
        "training": {"epochs": 30, "batch_size": 64},
    },
}


@dataclass(frozen=True)
class Experiment:
    """A training with a known fault.

    Attributes:
        name: of the experiment, unique.
        fault: what is wrong with it, or ``sound``.
        kinds: findings that name this fault.
        overrides: of the sound recipe of the data set.
        pictures: the fault of the data; see ``benchmarks.pictures.FAULTS``.
        figure: what following the advice should raise: on uneven classes, accuracy rewards
            predicting the most frequent one.
    """

    name: str
    fault: str
    kinds: frozenset[str]
    overrides: tuple[str, ...] = ()
    pictures: str = "sound"
    figure: str = "accuracy"


def _all(fault: str, kinds: str, named: dict[str, str], **facts: str) -> list[Experiment]:
    """Return experiments of one fault: by name, the overrides, separated by spaces."""
    return [
        Experiment(
            f"{fault}: {name}", fault, frozenset(kinds.split()), tuple(words.split()), **facts
        )
        for name, words in named.items()
    ]


PLAIN = "model.dropout=0 augment.flip=none augment.shift=0 data.validation=0.6"
DEEP = "model.hidden=[128,128,128,128,128,128,128,128] model.dropout=0"
SGD = "optimizer.name=sgd optimizer.learning_rate"

EXPERIMENTS: tuple[Experiment, ...] = (
    *_all(
        "too little data",
        "overfitting",
        {
            "5 %": "data.share=0.05 training.epochs=100",
            "10 %": "data.share=0.1 training.epochs=100",
            "20 %": "data.share=0.2 training.epochs=100",
        },
    ),
    *_all(
        "too few epochs",
        "under-training",
        {
            "1": "training.epochs=1",
            "2": "training.epochs=2",
            "3": "training.epochs=3",
            "SGD, 3": f"{SGD}=0.02 training.epochs=3",
        },
    ),
    *_all(
        "rate too high",
        "divergence learning-rate",
        {
            "Adam, 0.03": "optimizer.learning_rate=0.03",
            "Adam, 0.1": "optimizer.learning_rate=0.1",
            "Adam, 1": "optimizer.learning_rate=1",
            "RMSprop, 0.1": "optimizer.name=rmsprop optimizer.learning_rate=0.1",
            "SGD, 10": f"{SGD}=10",
            "SGD, 1000": f"{SGD}=1000",
        },
    ),
    *_all(
        "rate too low",
        "learning-rate under-training",
        {
            "Adam, 1e-5": "optimizer.learning_rate=1e-5",
            "Adam, 1e-6": "optimizer.learning_rate=1e-6",
            "RMSprop, 1e-6": "optimizer.name=rmsprop optimizer.learning_rate=1e-6",
            "SGD, 1e-4": f"{SGD}=1e-4",
            "SGD, 1e-6": f"{SGD}=1e-6",
        },
    ),
    *_all(
        "too deep with sigmoid",
        "vanishing-gradients",
        {
            "8 layers": f"{DEEP} model.activation=sigmoid",
            "8 layers, SGD": f"{DEEP} model.activation=sigmoid {SGD}=0.05",
            "8 layers, 0.01": f"{DEEP} model.activation=sigmoid optimizer.learning_rate=0.01",
        },
    ),
    *_all(
        "no normalisation",
        "vanishing-gradients",
        {
            "small initial weights": f"{DEEP} model.initialiser=random_uniform {SGD}=0.05",
        },
    ),
    *_all("wrong scaling", "scaling", {"faint images": ""}, pictures="faint"),
    *_all("wrong scaling", "scaling", {"faint, unit": "data.scaling=unit"}, pictures="faint"),
    *_all("wrong scaling", "scaling", {"fainter images": ""}, pictures="fainter"),
    *_all(
        "overfitting",
        "overfitting",
        {
            "no dropout": PLAIN,
            "wide": f"{PLAIN} model.hidden=[512,512]",
            "many epochs": f"{PLAIN} training.epochs=100",
        },
        pictures="few",
    ),
    *_all("overfitting", "overfitting", {"fewer images": PLAIN}, pictures="fewer"),
    *_all(
        "underfitting",
        "underfitting",
        {
            "2 units": "model.hidden=[2] model.dropout=0",
            "3 units": "model.hidden=[3] model.dropout=0",
            "4 units, twice": "model.hidden=[4,4] model.dropout=0",
        },
    ),
    *_all(
        "uneven classes",
        "weak-class imbalance",
        {"20 to 1": ""},
        pictures="uneven-20",
        figure="balanced_accuracy",
    ),
    *_all(
        "uneven classes",
        "weak-class imbalance",
        {"50 to 1": ""},
        pictures="uneven-50",
        figure="balanced_accuracy",
    ),
    *_all("noisy labels", "overfitting noisy-labels", {"20 %": ""}, pictures="noisy-20"),
    *_all("noisy labels", "overfitting noisy-labels", {"40 %": ""}, pictures="noisy-40"),
    *_all(
        "noisy labels",
        "overfitting noisy-labels",
        {"20 %, no dropout": "model.dropout=0 model.hidden=[512,512]"},
        pictures="noisy-20",
    ),
    *_all(
        "batch too large",
        "few-steps",
        {
            "all images": "training.batch_size=5000 training.epochs=20",
            "half of them": "training.batch_size=600 training.epochs=10",
            "SGD": f"{SGD}=0.05 training.batch_size=1000 training.epochs=20",
        },
    ),
    *_all(
        "dropout too strong",
        "underfitting",
        {
            "0.8": "model.dropout=0.8",
            "0.9": "model.dropout=0.9",
            "0.8, four layers": "model.dropout=0.8 model.hidden=[128,128,128,128]",
        },
    ),
    *_all(
        "penalty too strong",
        "underfitting",
        {
            "L2, 0.1": "model.l2=0.1",
            "L1, 0.01": "model.l1=0.01",
            "decay": "optimizer.name=adamw optimizer.weight_decay=100",
        },
    ),
    *_all(
        "dead units",
        "dead-units divergence learning-rate",
        {
            "SGD, 1": f"{SGD}=1 model.dropout=0",
            "Adam, 0.02, deep": f"{DEEP} optimizer.learning_rate=0.02",
        },
    ),
    *_all(
        "sound",
        "",
        {
            "as it is": "",
            "AdamW": "optimizer.name=adamw",
            "SGD with momentum": f"{SGD}=0.02 optimizer.momentum=0.9",
            "tanh": "model.activation=tanh",
            "batch normalisation": "model.normalisation=batch",
            "annealed": "schedule.name=CosineDecay",
            "larger batches": "training.batch_size=64",
        },
    ),
)
