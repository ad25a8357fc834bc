"""MLPs of residual blocks."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, FlatNetwork, Width


class ResidualMLP(FlatNetwork, Deep):
    """``[model]`` with ``name = "residual-mlp"``: blocks of two dense layers, added to their input.

    Bachmann et al. 2023, "Scaling MLPs: A Tale of Inductive Bias": inverted bottlenecks.
    """

    name: Literal["residual-mlp"] = Field("residual-mlp", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    width: Width = Field(512, description="units between the blocks")
    blocks: Annotated[int, Field(ge=0, le=200)] = Field(4, description="residual blocks")
    expansion: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="hidden units of a block, as a multiple of the width"
    )
