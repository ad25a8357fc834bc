"""Vision transformers."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, Width


class ViT(Deep):
    """``[model]`` with ``name = "vit"``: attention among patches, a dense block on each.

    Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", with the mean of the patches instead
    of a class token (Beyer, Zhai & Kolesnikov 2022, "Better plain ViT baselines").
    """

    name: Literal["vit"] = Field("vit", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    patch: Annotated[int, Field(ge=1, le=256)] = Field(4, description="side of a patch in pixels")
    width: Width = Field(192, description="features of a patch")
    blocks: Annotated[int, Field(ge=0, le=100)] = Field(6, description="blocks of attention")
    heads: Annotated[int, Field(ge=1, le=64)] = Field(
        3, description="of the attention; the width must be a multiple"
    )
    expansion: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="hidden units of a block's dense layers, as a multiple of the width"
    )
