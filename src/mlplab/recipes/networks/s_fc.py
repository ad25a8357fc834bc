"""The shallow, very wide MLP that learns local features if it is made sparse."""

from typing import Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, FlatNetwork, Width


class SFC(FlatNetwork, Deep):
    """``[model]`` with ``name = "s-fc"``: one very wide layer, a narrow one, batch normalisation.

    Neyshabur 2020, "Towards Learning Convolutions from Scratch": the units of a convolution with
    that many channels and stride 2, then 24 units for each channel.
    """

    name: Literal["s-fc"] = Field("s-fc", description="the family of networks")
    channels: Width = Field(
        150, description="of the convolution; 150 give 38,400 and 3,600 units for 32×32 images"
    )
