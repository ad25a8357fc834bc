"""The networks of the recipes in PyTorch; each takes [n, 3, 32, 32] and gives logits [n, 10]."""

import torch
from torch import nn


class Norm(nn.BatchNorm2d):
    """Batch normalisation with a shift and without a scale."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.weight.requires_grad_(False)


class Maximum(nn.Module):
    """The maximum over all positions, scaled."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.amax((2, 3)) / 9


class Attention(nn.Module):
    """Multi-head attention among patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.given, self.narrow = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, patches, width = x.shape
        given = self.given(x).reshape(n, patches, 3, self.heads, width // self.heads)
        q, k, v = given.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.narrow(seen.transpose(1, 2).reshape(n, patches, width))


class Block(nn.Module):
    """Attention and two dense layers, each normalised before and added to its input."""

    def __init__(self, width: int, heads: int, wide: int) -> None:
        super().__init__()
        self.attended = nn.Sequential(nn.LayerNorm(width, eps=1e-3), Attention(width, heads))
        layers = [nn.LayerNorm(width, eps=1e-3), nn.Linear(width, wide), nn.GELU()]
        self.dense = nn.Sequential(*layers, nn.Linear(wide, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attended(x)
        return x + self.dense(x)


class ViT(nn.Module):
    """A vision transformer with the mean over its patches."""

    def __init__(self, patch: int = 4, width: int = 96, blocks: int = 4, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.position = nn.Parameter(0.02 * torch.randn((32 // patch) ** 2, width))
        self.blocks = nn.Sequential(*[Block(width, heads, 2 * width) for _ in range(blocks)])
        self.output = nn.Sequential(nn.LayerNorm(width, eps=1e-3))
        self.logits = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.logits(self.output(self.blocks(x)).mean(1))


def cnn_small() -> nn.Module:
    """Return six convolutions in three stages."""
    layers: list[nn.Module] = []
    before = 3
    for channels in (48, 96, 192):
        for stride in (2, 1):
            convolution = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
            layers += [convolution, nn.BatchNorm2d(channels, eps=1e-3), nn.ReLU()]
            before = channels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(192 * 16, 10))


def airnet_small() -> nn.Module:
    """Return whitened patches, three blocks of two convolutions, and the maximum."""
    first = nn.Conv2d(3, 24, 2).requires_grad_(False)
    layers: list[nn.Module] = [first, nn.GELU()]
    before = 24
    for width in (32, 64, 128):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        layers += [Norm(width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1, bias=False)]
        layers += [Norm(width), nn.GELU()]
        before = width
    return nn.Sequential(*layers, Maximum(), nn.Linear(before, 10, bias=False))


NETWORKS = {"cnn-small": cnn_small, "airnet-small": airnet_small, "vit": ViT}
