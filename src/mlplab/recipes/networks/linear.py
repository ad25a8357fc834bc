"""Linear classifiers."""

from typing import Literal

from pydantic import Field

from mlplab.recipes.networks.base import FlatNetwork
from mlplab.recipes.schema import Penalty


class Linear(FlatNetwork):
    """``[model]`` with ``name = "linear"``: multinomial logistic regression on the pixels."""

    name: Literal["linear"] = Field("linear", description="the family of networks")
    l1: Penalty = Field(0.0, description="L1 penalty on the kernel")
    l2: Penalty = Field(0.0, description="L2 penalty on the kernel")
