"""A convolutional network that trains in seconds."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, Width


class AirNet(Deep):
    """``[model]`` with ``name = "airnet"``: few wide convolutions after a whitening of patches.

    Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU".
    """

    name: Literal["airnet"] = Field("airnet", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    widths: list[Width] = Field(
        [64, 256, 256],
        min_length=1,
        max_length=8,
        description="channels of each block, which halves the resolution",
    )
    convolutions: Annotated[int, Field(ge=1, le=10)] = Field(
        2, description="in a block; with three or more, the third and later ones are residual"
    )
    identity: bool = Field(
        True, description="whether convolutions are initialised to pass on their input channels"
    )
    whitening_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        5e-4, description="added to the variance of each component of the patches"
    )
    output_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1 / 9, description="factor that scales the features before the output layer"
    )
