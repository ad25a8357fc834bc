"""What an experiment is: the tables of a recipe, with their types, limits and defaults.

This module loads neither Keras nor JAX. The parameters of an optimizer, schedule or callback are
therefore only collected here (:class:`mlplab.recipes.schema.Named`); ``mlplab.optim`` and
``mlplab.training.callbacks`` check them against Keras's own signatures before anything is trained.
The networks' tables are in :mod:`mlplab.recipes.networks`.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from mlplab.recipes.networks import CustomModel, Family
from mlplab.recipes.networks.mlp import MLP
from mlplab.recipes.networks.pretrained import Pretrained
from mlplab.recipes.schema import CUSTOM, Absent, Named, Penalty, Table

DataName = Literal[
    "cifar10",
    "cifar100",
    "mnist",
    "fashion_mnist",
    "kmnist",
    "emnist",
    "emnist_letters",
    "digits",
    "folder",
]
"""The data sets that a recipe can name; ``mlplab.data.DATASETS`` has the function of each."""


class Data(Table):
    """``[data]``: where the images come from, how they are scaled and split."""

    name: DataName = Field("cifar10", description="the data set")
    path: Annotated[str | None, *Absent] = Field(
        None,
        description="your own images, for name = 'folder': a folder, a file (.npz, .csv, .parquet)"
        " or hf://owner/name",
    )
    image_size: int = Field(
        32,
        ge=1,
        le=1024,
        description="side in pixels that your own image files are resized to; by default, for a"
        " pretrained network, its own",
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="of your own image files that are not square: cut to the centre, padded with"
        " grey bars, or distorted",
    )
    channels: Literal["auto", 1, 3] = Field(
        "auto",
        description="of your own images: 1 for grey, 3 for colour; 'auto' is 1 if all are grey",
    )
    classes: list[str] = Field(
        [], max_length=10_000, description="the classes that are kept; all where none is named"
    )
    exclude: Annotated[str | None, *Absent] = Field(
        None,
        description="a CSV file with a column 'file', as `mlplab data clean` writes: the image"
        " files that it lists are left out",
    )
    scaling: Literal["symmetric", "unit", "standard"] = Field(
        "symmetric",
        description="pixels to [-1, 1], to [0, 1], or to mean 0 and deviation 1 by channel",
    )
    validation: Annotated[float, Field(gt=0, lt=1)] | Literal["test"] = Field(
        0.1, description="share of the training images held out for every choice, or 'test'"
    )
    fold: Annotated[list[int] | None, *Absent] = Field(
        None,
        description="hold out one of several equal parts instead of a share: [2, 5] is the second"
        " of five",
    )
    share: float = Field(
        1.0, gt=0, le=1, description="share of each class's training images that is trained on"
    )
    test: float = Field(
        0.2, gt=0, lt=1, description="share held out for testing where none is published"
    )

    @field_validator("fold")
    @classmethod
    def _is_one_of_several(cls, fold: list[int] | None) -> list[int] | None:
        if fold is not None and (len(fold) != 2 or not 1 <= fold[0] <= fold[1] or fold[1] < 2):
            raise ValueError("write [2, 5] for the second of five parts")
        return fold

    @model_validator(mode="after")
    def _fold_holds_out(self) -> "Data":
        if self.fold is not None and self.validation == "test":
            raise ValueError(
                "data.fold holds training images out, but data.validation = 'test' holds none out;"
                " remove one of the two settings"
            )
        return self

    @model_validator(mode="after")
    def _folder_has_path(self) -> "Data":
        if (self.name == "folder") != (self.path is not None):
            raise ValueError("data.path is needed with data.name = 'folder', and only there")
        for key, unset in (("channels", "auto"), ("fit", "crop"), ("exclude", None)):
            if self.path is None and getattr(self, key) != unset:
                raise ValueError(f"data.{key} is for your own images, data.name = 'folder'")
        return self


class Augment(Table):
    """``[augment]``: how training images are changed at random, differently in every epoch."""

    flip: Literal["none", "random", "alternating"] = Field(
        "none",
        description="mirror left and right: by a coin each epoch, or by a coin in the first epoch"
        " and from then on in turns",
    )
    shift: int = Field(
        0, ge=0, le=1024, description="most pixels to move in each direction; edges are reflected"
    )
    crop_resize: float = Field(
        0.0, ge=0, le=1, description="smallest share of the area that is cut out and enlarged"
    )
    rotation: float = Field(
        0.0, ge=0, le=180, description="most degrees to turn either way; edges are reflected"
    )
    colour: float = Field(
        0.0, ge=0, le=1, description="strength of random brightness, contrast and saturation"
    )
    cutout: int = Field(
        0, ge=0, le=1024, description="side in pixels of a square that is painted grey"
    )
    mixup: Penalty = Field(
        0.0, le=1000, description="alpha of Beta(alpha, alpha), the weight of two blended images"
    )
    cutmix: Penalty = Field(
        0.0, le=1000, description="alpha of Beta(alpha, alpha), the share kept beside a pasted box"
    )

    @property
    def mixes(self) -> bool:
        """Whether images, and with them their labels, are mixed."""
        return self.mixup > 0 or self.cutmix > 0


class Loss(Table):
    """``[loss]``: what is minimised."""

    name: str = Field("sparse_categorical_crossentropy", description="a loss of Keras")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target that is spread over all classes"
    )
    class_weights: Annotated[Literal["balanced"] | list[Penalty] | None, *Absent] = Field(
        None, description="'balanced', or a weight for each class"
    )


class Teacher(Table):
    """``[teacher]``: finished runs whose answers are learnt from, beside the labels."""

    runs: list[str] = Field(
        min_length=1, max_length=100, description="names of runs, or paths of their folders"
    )
    weight: float = Field(1.0, ge=0, le=1, description="of the teachers; the rest is the labels'")
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1.0, description="that both sides' logits are divided by before they are compared"
    )
    views: int = Field(
        0,
        ge=0,
        le=10_000,
        description="epochs of augmented images that are answered once and shown in turns; 0: each"
        " image is answered when it is shown",
    )


class Average(Table):
    """``[average]``: an average of the weights, which is evaluated and saved in their place."""

    name: Literal["ema"] = Field("ema", description="an exponential moving average, step by step")
    momentum: float = Field(0.99, gt=0, lt=1, description="share of the old average in the new one")


class Training(Table):
    """``[training]``: how long, in what batches, in what precision."""

    epochs: int = Field(100, ge=1, le=1_000_000, description="passes over the images, at most")
    batch_size: int = Field(64, ge=1, le=1_000_000, description="images a step")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the factors of dense products; everything else is float32"
    )
    resizing: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        [],
        max_length=100,
        description="stages of the first epochs at a lower resolution, each [epochs, side of the"
        " squares of pixels that are averaged]",
    )
    on_divergence: Literal["stop", "rewind"] = Field(
        "stop",
        description="when the loss is no longer finite: end with the last good weights, or repeat"
        " the epoch with half the learning rate, at most three times",
    )

    @field_validator("resizing")
    @classmethod
    def _stages(cls, stages: list[list[int]]) -> list[list[int]]:
        if any(epochs < 1 or side < 2 for epochs, side in stages):
            raise ValueError("each stage is [epochs, side], with 1 epoch and a side of 2 at least")
        return stages


SplitName = Literal["train", "validation", "test"]
SecondTest = Literal["cifar10.1"]
"""Further test sets, which runs on the data set that they belong to can be evaluated on."""


class Evaluation(Table):
    """``[evaluation]``: what is measured when training has ended."""

    splits: list[SplitName] = Field(
        ["train", "validation"],
        description="what is measured when training has ended; `--test` adds the test split",
    )
    top_k: int = Field(5, ge=1, description="k of the top-k accuracy")
    tta_flip: bool = Field(
        False, description="test-time augmentation: also show each image mirrored left and right"
    )
    tta_shift: int = Field(
        0,
        ge=0,
        le=1024,
        description="test-time augmentation: also show it shifted by this many pixels",
    )
    calibrate: Annotated[Literal["temperature"] | None, *Absent] = Field(
        None,
        description="'temperature' divides the trained network's logits by the number for which its"
        " log loss on the validation images is lowest; no prediction changes",
    )

    @property
    def tta(self) -> bool:
        """Whether an image is also shown in other views than its own."""
        return self.tta_flip or self.tta_shift > 0


def _kind(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return "custom" if isinstance(name, str) and CUSTOM.match(name) else "family"


# Chosen by its name, so that errors are about that family alone.
Model = Annotated[
    Annotated[Annotated[Family, Field(discriminator="name")], Tag("family")]
    | Annotated[CustomModel, Tag("custom")],
    Discriminator(_kind),
]
UNION_TAGS = 2  # what pydantic puts into an error's location after "model": the kind, the family


class Recipe(Table):
    """A complete description of an experiment.

    ``recipe.seed`` decides the split, the initial weights, the order, dropout and augmentation; the
    rest is the configuration.
    """

    seed: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="decides the split, initial weights, order, dropout and augmentation",
    )
    data: Data = Data()
    model: Model = MLP()
    optimizer: Named = Named(name="adam")
    schedule: Annotated[Named | None, *Absent] = None
    augment: Augment = Augment()
    loss: Loss = Loss()
    average: Annotated[Average | None, *Absent] = None
    teacher: Annotated[Teacher | None, *Absent] = None
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    callbacks: dict[str, Named] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _images_suit_network(cls, tables: Any) -> Any:
        """Read a folder's images in the size that a pretrained network takes, if none is given."""
        parts = [tables.get(key) for key in ("data", "model")] if isinstance(tables, dict) else []
        match parts:
            case [{"name": "folder", **data}, {"name": "pretrained", **model}] if (
                "image_size" not in data
            ):
                side = model.get("image_size", Pretrained.model_fields["image_size"].default)
                return {**tables, "data": {**tables["data"], "image_size": side}}
        return tables

    @model_validator(mode="after")
    def _test_calibrates_nothing(self) -> "Recipe":
        if self.evaluation.calibrate and self.data.validation == "test":
            raise ValueError(
                "evaluation.calibrate would be fitted on the test split, because data.validation ="
                " 'test': hold validation images out of training, data.validation = 0.1"
            )
        return self

    @field_validator("model", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Name the default family where a table names none."""
        return {"name": MLP().name, **value} if isinstance(value, dict) else value
