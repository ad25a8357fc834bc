"""Residual networks for small images."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, Width


class ResNet(Deep):
    """``[model]`` with ``name = "resnet"``: residual blocks of two convolutions in three stages.

    The form for CIFAR-10 of He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image
    Recognition", with projections where a block changes the shape.
    """

    name: Literal["resnet"] = Field("resnet", description="the family of networks")
    initialiser: str = Field("he_normal", description="an initializer of Keras")
    depth: Annotated[int, Field(ge=8, le=302)] = Field(
        20, description="layers with weights: 6 n + 2 for n blocks in a stage"
    )
    width: Width = Field(16, description="channels of the first stage; each later one doubles them")
