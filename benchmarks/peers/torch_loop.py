"""A training loop in PyTorch, with the data as tensors in memory.

Settings: ``data``, a folder of .npy files; ``batch_size``; ``precision``: ``float32``, or
``bfloat16`` with autocast; ``compile``: whether to use ``torch.compile`` for forward pass and loss;
``network``: a recipe, by default ``published``; ``any_loss``: whether the loss may be anything, so
that a program that makes NaN can be timed. Convolutions have their channels last, which is
faster on CPUs.
Batches are gathered by index, which is faster here than a DataLoader. Adam is the fused version.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch_networks import NETWORKS
from turns import serve, settings

ASKED = {"network": "published", "any_loss": False} | settings()


def published() -> nn.Module:
    """Return the published network."""
    layers: list[nn.Module] = []
    for inputs in (3072, 1024, 1024, 1024):
        layers += [nn.Linear(inputs, 1024), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(1024, 10))


class Network(nn.Module):
    """A network with its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = (NETWORKS | {"published": published})[ASKED["network"]]()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=ASKED["precision"] == "bfloat16"):
            logits = self.layers(x)
        return nn.functional.cross_entropy(logits.float(), y)


def main() -> None:
    """Train one epoch per turn, indefinitely."""
    torch.manual_seed(0)
    images = np.load(Path(ASKED["data"]) / "x_train.npy")
    x = torch.from_numpy(images).float().div_(127.5).sub_(1)
    # As images lie in memory, their channels are last.
    x = x.flatten(1) if ASKED["network"] == "published" else x.permute(0, 3, 1, 2)
    y = torch.from_numpy(np.load(Path(ASKED["data"]) / "y_train.npy")).long()
    network = Network().train().to(memory_format=torch.channels_last)
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-4, eps=1e-7, fused=True)
    # The last batch of an epoch is smaller. Without dynamic shapes, each size has its own program.
    loss_of = torch.compile(network, dynamic=False) if ASKED["compile"] else network

    def epoch() -> float:
        begun = time.perf_counter()
        total = torch.zeros(())
        for rows in torch.randperm(len(x)).split(ASKED["batch_size"]):
            loss = loss_of(x[rows], y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        assert ASKED["any_loss"] or torch.isfinite(total)
        return time.perf_counter() - begun

    serve(epoch, versions={"torch": torch.__version__}, threads=torch.get_num_threads())


main()
