"""Plain convolutional networks."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, Width


class CNN(Deep):
    """``[model]`` with ``name = "cnn"``: convolutions, each stage at half the resolution.

    It has no pooling and only zero padding, so that ``structured-init`` can write it out.
    """

    name: Literal["cnn"] = Field("cnn", description="the family of networks")
    channels: list[Width] = Field(
        [64, 128, 256],
        min_length=1,
        max_length=10,
        description="of each stage, whose first convolution has stride 2",
    )
    kernel: Annotated[int, Field(ge=1, le=31)] = Field(3, description="side of the convolutions")
    depth: Annotated[int, Field(ge=1, le=100)] = Field(1, description="convolutions in a stage")
    hidden: list[Width] = Field(
        [], max_length=100, description="units of each dense layer after the convolutions"
    )
