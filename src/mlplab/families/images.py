"""Families that see the image as an image: convolutions and patches."""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.families.base import Deep, Width
from mlplab.tables import Absent


class CNN(Deep):
    """``[model]`` with ``name = "cnn"``: convolutions, each stage at half the resolution.

    Without pooling or padding by anything but zeros, so that ``structured-init`` can write it out.
    """

    name: Literal["cnn"] = Field("cnn", description="the family of networks")
    channels: list[Width] = Field(
        [64, 128, 256],
        min_length=1,
        max_length=10,
        description="of each stage, which begins with stride 2",
    )
    kernel: Annotated[int, Field(ge=1, le=31)] = Field(3, description="side of the convolutions")
    depth: Annotated[int, Field(ge=1, le=100)] = Field(1, description="convolutions in a stage")
    hidden: list[Width] = Field(
        [], max_length=100, description="units of each dense layer after the convolutions"
    )


class StructuredInit(CNN):
    """``[model]`` with ``name = "structured-init"``: a ``cnn`` written out as dense layers.

    It begins with the weights of a convolution and is then free (d'Ascoli et al. 2019, "Finding
    the Needle in the Haystack with Convolutions").
    """

    name: Literal["structured-init"] = Field(  # type: ignore[assignment]
        "structured-init", description="the family of networks"
    )
    init_from: Annotated[str | None, *Absent] = Field(
        None, description="a run of the same cnn to write out; else one with initial weights"
    )


class Mixer(Deep):
    """``[model]`` with ``name = "mixer"``: dense layers across patches and across channels.

    Tolstikhin et al. 2021, "MLP-Mixer". Its weights are shared among patches: no plain MLP.
    """

    name: Literal["mixer"] = Field("mixer", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    patch: Annotated[int, Field(ge=1, le=256)] = Field(4, description="side of a patch in pixels")
    width: Width = Field(128, description="channels of a patch")
    blocks: Annotated[int, Field(ge=0, le=200)] = Field(4, description="pairs of mixing layers")
    token_units: Width = Field(64, description="hidden units of the mixing across patches")
    channel_units: Width = Field(512, description="hidden units of the mixing across channels")


class LeNet(Deep):
    """``[model]`` with ``name = "lenet"``: two convolutions and three dense layers.

    LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998), with a softmax for its radial units.
    """

    name: Literal["lenet"] = Field("lenet", description="the family of networks")
    activation: str = Field("tanh", description="an activation of Keras")


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
    width: Width = Field(16, description="channels of the first stage; each next one doubles them")


class AirNet(Deep):
    """``[model]`` with ``name = "airnet"``: few wide convolutions after a whitening of patches.

    Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU".
    """

    name: Literal["airnet"] = Field("airnet", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    widths: list[Width] = Field(
        [64, 256, 256],
        min_length=1,
        max_length=8,
        description="channels of each block, which halves the resolution",
    )
    convolutions: Annotated[int, Field(ge=1, le=10)] = Field(
        2, description="in a block; of three and more, the later ones are added to their input"
    )
    identity: bool = Field(
        True, description="whether a convolution begins by passing on the channels that it is given"
    )
    whitening_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        5e-4, description="added to the variance of each component of the patches"
    )
    output_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1 / 9, description="times the features before the output layer"
    )


class ConvMixer(Deep):
    """``[model]`` with ``name = "convmixer"``: depthwise and pointwise convolutions of patches.

    Trockman & Kolter 2022, "Patches Are All You Need?".
    """

    name: Literal["convmixer"] = Field("convmixer", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    width: Width = Field(256, description="channels of a patch")
    depth: Annotated[int, Field(ge=0, le=100)] = Field(8, description="pairs of convolutions")
    kernel: Annotated[int, Field(ge=1, le=31)] = Field(
        5, description="side of the depthwise convolutions"
    )
    patch: Annotated[int, Field(ge=1, le=256)] = Field(2, description="side of a patch in pixels")


class ViT(Deep):
    """``[model]`` with ``name = "vit"``: attention among patches, a dense block on each.

    Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", with the mean of the patches in place
    of a token of the class (Beyer, Zhai & Kolesnikov 2022, "Better plain ViT baselines").
    """

    name: Literal["vit"] = Field("vit", description="the family of networks")
    activation: str = Field("gelu", description="an activation of Keras")
    patch: Annotated[int, Field(ge=1, le=256)] = Field(4, description="side of a patch in pixels")
    width: Width = Field(192, description="numbers of a patch")
    blocks: Annotated[int, Field(ge=0, le=100)] = Field(6, description="blocks of attention")
    heads: Annotated[int, Field(ge=1, le=64)] = Field(
        3, description="of the attention; they divide the width"
    )
    expansion: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="times the width that a block's dense layer is wide"
    )
