"""Multilayer perceptrons."""

from typing import ClassVar, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Cure, Deep, FlatNetwork, Width
from mlplab.recipes.schema import Penalty


class MLP(FlatNetwork, Deep):
    """``[model]`` with ``name = "mlp"``: dense layers on the flattened image."""

    cure: ClassVar[Cure] = "dropout"

    name: Literal["mlp"] = Field("mlp", description="the family of networks")
    hidden: list[Width] = Field(
        [1024, 1024, 1024, 1024], max_length=1000, description="units of each hidden layer"
    )
    normalisation: Literal["none", "batch", "layer"] = Field(
        "none", description="between the product and the activation"
    )
    l1: Penalty = Field(0.0, description="L1 penalty on the kernels")
    l2: Penalty = Field(0.0, description="L2 penalty on the kernels")
