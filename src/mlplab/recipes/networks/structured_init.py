"""A convolutional network written out as dense layers."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlplab.recipes.networks.cnn import CNN
from mlplab.recipes.schema import Absent


class StructuredInit(CNN):
    """``[model]`` with ``name = "structured-init"``: a ``cnn`` written out as dense layers.

    It starts with the weights of a convolutional network, which training may then change freely
    (d'Ascoli et al. 2019, "Finding the Needle in the Haystack with Convolutions").
    """

    same_task: ClassVar[bool] = True

    name: Literal["structured-init"] = Field(  # type: ignore[assignment]
        "structured-init", description="the family of networks"
    )
    init_from: Annotated[str | None, *Absent] = Field(
        None, description="a run of the same cnn to write out; without it, an untrained cnn"
    )
