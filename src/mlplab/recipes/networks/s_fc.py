"""The shallow, very wide MLP that learns local features if it is made sparse."""

from typing import Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, FlatNetwork, Width


class SFC(FlatNetwork, Deep):
    """``[model]`` with ``name = "s-fc"``: one very wide layer, a narrow one, batch normalisation.

    Neyshabur 2020, "Towards Learning Convolutions from Scratch": as many units as a convolution of
    so many channels with stride 2 would have, then 24 for each channel.
    """

    name: Literal["s-fc"] = Field("s-fc", description="the family of networks")
    channels: Width = Field(
        150, description="of the convolution; 150 make 38,400 and 3,600 units of 32×32 images"
    )
