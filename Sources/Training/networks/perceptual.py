# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""A perceptual distance of two images: the distance of their features in SqueezeNet 1.0 (Iandola et al., arXiv
1602.07360), trained on ImageNet, as in LPIPS (Zhang et al., arXiv 1801.03924) but without LPIPS's learned channel
weights."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FIRES = (2, 3, 4, 5)  # modules whose output is used, besides the first convolution; a pooling precedes 2 and 5
POOLED = (2, 5)


class Perceptual(nn.Module):
    """weights: a .npz of SqueezeNet 1.0 with its Caffe model's names (conv1.weight, fire2/conv1x1_1.bias ...)."""

    def __init__(self, weights):
        super().__init__()
        with np.load(weights) as kept:
            take = lambda name: torch.from_numpy(kept[name].astype(np.float32))
            names = ["conv1"] + [f"fire{n}/{c}" for n in FIRES for c in ("conv1x1_1", "conv1x1_2", "conv3x3_2")]
            for name in names:
                for part in ("weight", "bias"):
                    self.register_buffer(f"{name}.{part}".replace("/", "_").replace(".", "_"), take(f"{name}.{part}"))
        # Caffe's image format: BGR, 0 ... 255, with these means subtracted.
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1))

    def conv(self, x, name, **options):
        name = name.replace("/", "_")
        return F.relu(F.conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), **options))

    def features(self, images):
        """RGB [B, 3, H, W] in -1 ... 1 -> features at several resolutions, normalised at every position."""
        x = (images.flip(1) + 1) * 127.5 - self.mean
        x = self.conv(x, "conv1", stride=2, padding=3)
        out = [x]
        for n in FIRES:
            if n in POOLED:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            small = self.conv(x, f"fire{n}/conv1x1_1")
            x = torch.cat([self.conv(small, f"fire{n}/conv1x1_2"), self.conv(small, f"fire{n}/conv3x3_2", padding=1)], 1)
            out.append(x)
        return [F.normalize(f, dim=1) for f in out]

    def forward(self, made, real):
        """[B]: mean squared distance over positions, summed over resolutions."""
        return sum((a - b).square().sum(1).mean((1, 2)) for a, b in zip(self.features(made), self.features(real)))
