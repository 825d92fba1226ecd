# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The patch discriminator: real or generated, for each patch of 16 px (Isola et al., arXiv 1611.07004; spectral norm:
Miyato et al., arXiv 1802.05957). Used in training only."""
import torch.nn.functional as F
from torch import nn


class Discriminator(nn.Module):
    """RGB [B, 3, H, W] in -1 ... 1 -> [B, 1, h, w]: positive where it takes the patch for real."""

    def __init__(self):
        super().__init__()
        conv = lambda i, o, s: nn.utils.parametrizations.spectral_norm(nn.Conv2d(i, o, 4, s, 1))
        self.layers = nn.ModuleList([conv(3, 32, 2), conv(32, 64, 2), conv(64, 96, 1), conv(96, 1, 1)])

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        return self.layers[-1](x)
