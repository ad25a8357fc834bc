"""Families of dense layers on the flattened image."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.families.base import Deep, FlatNetwork, Width
from mlplab.tables import Penalty


class Linear(FlatNetwork):
    """``[model]`` with ``name = "linear"``: multinomial logistic regression on the pixels."""

    name: Literal["linear"] = Field("linear", description="the family of networks")
    l1: Penalty = Field(0.0, description="L1 penalty on the kernel")
    l2: Penalty = Field(0.0, description="L2 penalty on the kernel")


class MLP(FlatNetwork, Deep):
    """``[model]`` with ``name = "mlp"``: dense layers on the flattened image."""

    name: Literal["mlp"] = Field("mlp", description="the family of networks")
    hidden: list[Width] = Field(
        [1024, 1024, 1024, 1024], max_length=1000, description="units of each hidden layer"
    )
    normalisation: Literal["none", "batch", "layer"] = Field(
        "none", description="between the product and the activation"
    )
    l1: Penalty = Field(0.0, description="L1 penalty on the kernels")
    l2: Penalty = Field(0.0, description="L2 penalty on the kernels")


class ResidualMLP(FlatNetwork, Deep):
    """``[model]`` with ``name = "residual-mlp"``: blocks of two dense layers, added to their input.

    Bachmann et al. 2023, "Scaling MLPs: A Tale of Inductive Bias": inverted bottlenecks.
    """

    name: Literal["residual-mlp"] = Field("residual-mlp", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    width: Width = Field(512, description="units between the blocks")
    blocks: Annotated[int, Field(ge=0, le=200)] = Field(4, description="residual blocks")
    expansion: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="times the width that a block is wide inside"
    )


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


class SFC(FlatNetwork, Deep):
    """``[model]`` with ``name = "s-fc"``: one very wide layer, a narrow one, batch normalisation.

    Neyshabur 2020, "Towards Learning Convolutions from Scratch": as many units as a convolution of
    so many channels with stride 2 would have, then 24 for each channel.
    """

    name: Literal["s-fc"] = Field("s-fc", description="the family of networks")
    channels: Width = Field(
        150, description="of the convolution; 150 make 38,400 and 3,600 units of 32×32 images"
    )
