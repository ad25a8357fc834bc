"""ConvMixer."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, Width


class ConvMixer(Deep):
    """``[model]`` with ``name = "convmixer"``: depthwise and pointwise convolutions of patches.

    Trockman & Kolter 2022, "Patches Are All You Need?".
    """

    name: Literal["convmixer"] = Field("convmixer", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    width: Width = Field(256, description="channels of a patch")
    depth: Annotated[int, Field(ge=0, le=100)] = Field(8, description="pairs of convolutions")
    kernel: Annotated[int, Field(ge=1, le=31)] = Field(
        5, description="side of the depthwise convolutions"
    )
    patch: Annotated[int, Field(ge=1, le=256)] = Field(2, description="side of a patch in pixels")
