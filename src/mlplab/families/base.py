"""What families of networks have in common."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlplab.tables import Absent, Named, Table

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Network(Table):
    """What every family has."""

    name: str = Field(description="the family of networks")
    initialiser: str = Field("glorot_uniform", description="an initializer of Keras")
    init_from: Annotated[str | None, *Absent] = Field(
        None, description="a run whose weights are taken over in the layers that fit"
    )


class Deep(Network):
    """What every family with hidden layers has."""

    activation: str = Field("relu", description="an activation of Keras")
    dropout: Share = Field(0.0, description="share of units dropped after each layer")


class FlatNetwork(Network):
    """What every family of dense layers on the flattened image has."""

    pool: int = Field(
        1, ge=1, le=1024, description="side in pixels of the squares that are averaged to one"
    )
    whitening: Annotated[Width | None, *Absent] = Field(
        None, description="principal components that the first layer sees in place of the pixels"
    )
    whitening_form: Literal["pca", "zca"] = Field(
        "pca", description="the components themselves, or turned back into pixels"
    )
    whitening_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1.0, description="added to each component's variance, in units of the mean variance"
    )

    @model_validator(mode="after")
    def _form_of_something(self) -> "FlatNetwork":
        if self.whitening is None and self.whitening_form != "pca":
            raise ValueError("model.whitening_form needs model.whitening, how many components")
        return self


class CustomModel(Named):
    """``[model]`` with ``name = "module:function"``: the function builds a ``keras.Model``."""

    name: str = Field(description="the function; all other keys are its parameters")
