"""ResNet-18 for images of 32x32, as a user's own encoder: `--encoder python:resnet18:SmallImages`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import ResNetConfig, ResNetModel

MARGIN = 4


class SmallImages(nn.Module):
    """Its first convolution is 3x3 and nothing is pooled after it, as everyone does on CIFAR. Features: 512."""

    takes = "image"

    def __init__(self) -> None:
        super().__init__()
        config = ResNetConfig(
            embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"
        )
        self.net = ResNetModel(config)
        self.net.embedder.embedder.convolution = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.net.embedder.pooler = nn.Identity()
        self.net.to(memory_format=torch.channels_last)

    def augment(self, batch: Tensor) -> Tensor:
        """Each image shifted by up to four pixels, and mirrored, one of two by chance."""
        count, channels, height, width = batch.shape
        top, left = torch.randint(2 * MARGIN + 1, (2, count, 1), device=batch.device)
        rows, columns = (torch.arange(side, device=batch.device) for side in (height, width))
        image, channel = (torch.arange(many, device=batch.device) for many in (count, channels))
        moved = pad(batch, [MARGIN] * 4)[
            image[:, None, None, None],
            channel[:, None, None],
            (top + rows)[:, None, :, None],
            (left + columns)[:, None, None, :],
        ]
        mirrored = torch.rand(count, 1, 1, 1, device=batch.device) < 0.5
        return torch.where(mirrored, moved.flip(3), moved)

    def forward(self, batch: Tensor) -> Tensor:
        images = (2 * batch - 1).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.net(images).pooler_output
        return features.flatten(1)
