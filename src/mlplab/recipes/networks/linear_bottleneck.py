"""MLPs with linear bottlenecks between wide layers."""

from typing import Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep, FlatNetwork, Width


class LinearBottleneck(FlatNetwork, Deep):
    """``[model]`` with ``name = "linear-bottleneck"``: wide layers with narrow linear ones between.

    Lin, Memisevic & Konda 2015, "How far can we go without convolution".
    """

    name: Literal["linear-bottleneck"] = Field(
        "linear-bottleneck", description="the family of networks"
    )
    hidden: list[Width] = Field(
        [4000, 4000], min_length=1, max_length=200, description="units of each wide layer"
    )
    bottleneck: Width = Field(1000, description="units of the linear layers between them")
    normalisation: Literal["none", "batch", "layer"] = Field(
        "batch", description="of the wide layers, between the product and the activation"
    )
