"""LeNet-5."""

from typing import Literal

from pydantic import Field

from mlplab.recipes.networks.base import Deep


class LeNet(Deep):
    """``[model]`` with ``name = "lenet"``: two convolutions and three dense layers.

    LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998), with a softmax for its radial units.
    """

    name: Literal["lenet"] = Field("lenet", description="the family of networks")
    activation: str = Field("tanh", description="an activation of Keras")
