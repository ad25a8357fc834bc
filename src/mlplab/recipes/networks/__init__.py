"""The families of networks that a recipe can name: the table ``[model]`` of each.

``Family`` is the only list of them. The rest is derived from it: the recipe's discriminated union,
the names, and the module of :mod:`mlplab.models.networks` that builds each.
"""

from typing import get_args

from mlplab.recipes.networks.airnet import AirNet
from mlplab.recipes.networks.base import CustomModel, Deep, FlatNetwork, Network
from mlplab.recipes.networks.cnn import CNN
from mlplab.recipes.networks.convmixer import ConvMixer
from mlplab.recipes.networks.lenet import LeNet
from mlplab.recipes.networks.linear import Linear
from mlplab.recipes.networks.linear_bottleneck import LinearBottleneck
from mlplab.recipes.networks.mixer import Mixer
from mlplab.recipes.networks.mlp import MLP
from mlplab.recipes.networks.pretrained import Pretrained
from mlplab.recipes.networks.residual_mlp import ResidualMLP
from mlplab.recipes.networks.resnet import ResNet
from mlplab.recipes.networks.s_fc import SFC
from mlplab.recipes.networks.structured_init import StructuredInit
from mlplab.recipes.networks.vit import ViT

__all__ = ["FAMILIES", "CustomModel", "Deep", "Family", "FlatNetwork", "Network"]

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

FAMILIES: dict[str, type[Network]] = {
    family.model_fields["name"].default: family for family in get_args(Family)
}
