"""The settings that all networks share, and what the rest of mlplab asks of them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mlplab.recipes.schema import Absent, Named, Table

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, lt=1)]
Cure = Literal["dropout", "weight_decay"]

MOST_LAYERS = 500  # each takes a twentieth of a second to create


class Network(Table):
    """The settings of a family of networks: the table ``[model]``.

    Attributes:
        most_layers: maximum number of layers in a network of this family.
        cure: the setting to try first against overfitting.
        same_task: whether ``init_from`` must name a run on the same images and classes.
    """

    most_layers: ClassVar[int] = MOST_LAYERS
    cure: ClassVar[Cure] = "weight_decay"
    same_task: ClassVar[bool] = False

    name: str = Field(description="the family of networks")
    initialiser: str = Field("glorot_uniform", description="an initializer of Keras")
    init_from: Annotated[str | None, *Absent] = Field(
        None, description="a run whose weights are copied into the layers that fit"
    )

    @property
    def trains_head_only(self) -> bool:
        """Whether everything but a new output layer is frozen."""
        return False

    def resizable_to(self, image_shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return height and width of an image as the first dense layer receives it.

        ``None`` where ``training.resizing`` is not possible.

        Args:
            image_shape: height, width and channels.
        """
        return None


class Deep(Network):
    """The settings of every family with hidden layers."""

    activation: str = Field("relu", description="an activation of Keras")
    dropout: Share = Field(0.0, description="share of units dropped after each layer")


class FlatNetwork(Network):
    """The settings of every family of dense layers on the flattened image."""

    pool: int = Field(
        1, ge=1, le=1024, description="side in pixels of the squares averaged into one pixel"
    )
    whitening: Annotated[Width | None, *Absent] = Field(
        None, description="principal components that the first layer sees instead of the pixels"
    )
    whitening_form: Literal["pca", "zca"] = Field(
        "pca", description="the components themselves, or rotated back into pixels"
    )
    whitening_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1.0, description="added to each component's variance, in units of the mean variance"
    )

    @model_validator(mode="after")
    def _form_of_something(self) -> "FlatNetwork":
        if self.whitening is None and self.whitening_form != "pca":
            raise ValueError("model.whitening_form needs model.whitening (number of components)")
        return self

    def resizable_to(self, image_shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return height and width after pooling; ``None`` with a whitening."""
        if self.whitening is not None:
            return None
        height, width = (length // self.pool for length in image_shape[:2])
        return height, width


class CustomModel(Named):
    """``[model]`` with ``name = "module:function"``: the function builds a ``keras.Model``."""

    most_layers: ClassVar[int] = MOST_LAYERS
    cure: ClassVar[Cure] = "weight_decay"
    same_task: ClassVar[bool] = False
    init_from: ClassVar[None] = None
    trains_head_only: ClassVar[bool] = False

    name: str = Field(description="the function; all other keys are its parameters")

    def resizable_to(self, image_shape: tuple[int, ...]) -> None:
        """Return ``None``: nothing is known of the first layer."""
