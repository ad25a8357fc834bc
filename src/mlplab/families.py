"""The families of networks that a recipe can name: the table ``[model]`` of each.

This module loads neither Keras nor JAX; ``mlplab.models`` builds what is described here.
"""

from typing import Annotated, Literal

from pydantic import Field

from mlplab.tables import Absent, Named, Penalty, Table

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Count = Annotated[int, Field(ge=1, le=1000)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Network(Table):
    """What every family has."""

    name: str = Field(description="the family of networks")
    activation: str = Field("relu", description="an activation of Keras")
    dropout: Share = Field(0.0, description="share of units dropped after each layer")
    initialiser: str = Field("glorot_uniform", description="an initializer of Keras")


class FlatNetwork(Network):
    """What every family of dense layers on the flattened image has."""

    pool: int = Field(
        1, ge=1, le=1024, description="side in pixels of the squares that are averaged to one"
    )
    whitening: Annotated[Width | None, *Absent] = Field(
        None, description="principal components that the first layer sees in place of the pixels"
    )
    whitening_form: Literal["pca", "zca"] = Field(
        "pca", description="the components themselves, or turned back into pixels"
    )
    whitening_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1.0, description="added to each component's variance, in units of the mean variance"
    )


class MLP(FlatNetwork):
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


class ResidualMLP(FlatNetwork):
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


class LinearBottleneck(FlatNetwork):
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


class SFC(FlatNetwork):
    """``[model]`` with ``name = "s-fc"``: one very wide layer, a narrow one, batch normalisation.

    Neyshabur 2020, "Towards Learning Convolutions from Scratch": as many units as a convolution of
    so many channels with stride 2 would have, then 24 for each channel.
    """

    name: Literal["s-fc"] = Field("s-fc", description="the family of networks")
    channels: Width = Field(
        150, description="of the convolution; 150 make 38,400 and 3,600 units of 32×32 images"
    )


class CNN(Network):
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


class Mixer(Network):
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


class CustomModel(Named):
    """``[model]`` with ``name = "module:function"``: the function builds a ``keras.Model``."""

    name: str = Field(description="the function; all other keys are its parameters")


Family = MLP | ResidualMLP | LinearBottleneck | SFC | StructuredInit | CNN | Mixer

FAMILIES: dict[str, type[Family]] = {
    "mlp": MLP,
    "residual-mlp": ResidualMLP,
    "linear-bottleneck": LinearBottleneck,
    "s-fc": SFC,
    "structured-init": StructuredInit,
    "cnn": CNN,
    "mixer": Mixer,
}
