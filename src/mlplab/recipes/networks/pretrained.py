"""Networks pretrained on other images."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlplab.recipes.networks.base import Network, Share


class Pretrained(Network):
    """``[model]`` with ``name = "pretrained"``: a ``keras.applications`` network with a new head.

    It has its own scaling of pixels, so ``data.scaling`` is not used.
    """

    most_layers: ClassVar[int] = 1_500  # the deepest of keras.applications has 1,200

    name: Literal["pretrained"] = Field("pretrained", description="the family of networks")
    network: str = Field("MobileNetV2", description="its name in `keras.applications`")
    weights: str = Field(
        "imagenet",
        description="`imagenet` (downloaded by Keras), the path of a weights file without its top"
        " layers (.h5 or .weights.h5), or `random`",
    )
    image_size: int = Field(
        96, ge=32, le=1024, description="side in pixels that the network enlarges images to"
    )
    dropout: Share = Field(0.0, description="share of features dropped before the output layer")
    trainable: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        0,
        description="how many of its last layers with weights are trained with the new head, or"
        " 'all'; 0 for only the head; batch normalisation stays frozen and is not counted",
    )

    @property
    def trains_head_only(self) -> bool:
        """Whether only the new head is trained."""
        return self.trainable == 0
