"""The families of networks that a recipe can name: the table ``[model]`` of each.

This package loads neither Keras nor JAX; ``mlplab.models`` builds what is described here.
"""

from mlplab.families.base import CustomModel, Deep, FlatNetwork, Network
from mlplab.families.dense import MLP, SFC, Linear, LinearBottleneck, ResidualMLP
from mlplab.families.images import (
    CNN,
    AirNet,
    ConvMixer,
    LeNet,
    Mixer,
    ResNet,
    StructuredInit,
    ViT,
)
from mlplab.families.pretrained import Pretrained

__all__ = [
    "CNN",
    "FAMILIES",
    "MLP",
    "SFC",
    "AirNet",
    "ConvMixer",
    "CustomModel",
    "Deep",
    "Family",
    "FlatNetwork",
    "LeNet",
    "Linear",
    "LinearBottleneck",
    "Mixer",
    "Network",
    "Pretrained",
    "ResNet",
    "ResidualMLP",
    "StructuredInit",
    "ViT",
]

Family = (
    Linear
    | MLP
    | ResidualMLP
    | LinearBottleneck
    | SFC
    | StructuredInit
    | LeNet
    | CNN
    | ResNet
    | AirNet
    | ConvMixer
    | Mixer
    | ViT
    | Pretrained
)

FAMILIES: dict[str, type[Family]] = {
    "linear": Linear,
    "mlp": MLP,
    "residual-mlp": ResidualMLP,
    "linear-bottleneck": LinearBottleneck,
    "s-fc": SFC,
    "structured-init": StructuredInit,
    "lenet": LeNet,
    "cnn": CNN,
    "resnet": ResNet,
    "airnet": AirNet,
    "convmixer": ConvMixer,
    "mixer": Mixer,
    "vit": ViT,
    "pretrained": Pretrained,
}
