"""MLP-Mixer."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, Width


class Mixer(Deep):
    """``[model]`` with ``name = "mixer"``: dense layers across patches and across channels.

    Tolstikhin et al. 2021, "MLP-Mixer". It shares weights among patches, so it is not a plain MLP.
    """

    name: Literal["mixer"] = Field("mixer", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    patch: Annotated[int, Field(ge=1, le=256)] = Field(4, description="side of a patch in pixels")
    width: Width = Field(128, description="channels of a patch")
    blocks: Annotated[int, Field(ge=0, le=200)] = Field(4, description="pairs of mixing layers")
    token_units: Width = Field(64, description="hidden units of the mixing across patches")
    channel_units: Width = Field(512, description="hidden units of the mixing across channels")
