# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The autoencoder (twin of Sources/Diffusion/Autoencoder.swift). It has no normalisation across the image, so a latent pixel
depends only on the pixels near it. Shapes are [B, C, H, W], RGB in -1 ... 1."""
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class Encoder(nn.Module):
    """RGB [B, 3, H, W] -> latent [B, 4, H/4, W/4], normalised to mean 0 and standard deviation 1 over the training set."""

    def __init__(self, config):
        super().__init__()
        a, b, c = config.ae_channels
        self.input = nn.Conv2d(3, a, 3, padding=1)
        self.block1 = Block(a)
        self.down1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.block2 = Block(b)
        self.down2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.block3 = Block(c)
        self.block4 = Block(c)
        self.output = nn.Conv2d(c, config.latent_channels, 3, padding=1)
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("deviation", torch.ones(config.latent_channels))

    def forward(self, image):
        x = self.block1(self.input(image))
        x = self.block2(self.down1(x))
        x = self.block4(self.block3(self.down2(x)))
        z = self.output(F.silu(x))
        return (z - self.mean[:, None, None]) / self.deviation[:, None, None]


class Decoder(nn.Module):
    """Latent [B, 4, h, w] -> RGB [B, 3, 4h, 4w], not clamped."""

    def __init__(self, config):
        super().__init__()
        a, b, c = config.ae_channels
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("deviation", torch.ones(config.latent_channels))
        self.input = nn.Conv2d(config.latent_channels, c, 3, padding=1)
        self.block1 = Block(c)
        self.block2 = Block(c)
        self.block3 = Block(c)
        self.up1 = nn.Conv2d(c, b, 3, padding=1)
        self.block4 = Block(b)
        self.block5 = Block(b)
        self.up2 = nn.Conv2d(b, a, 3, padding=1)
        self.block6 = Block(a)
        self.block7 = Block(a)
        self.output = nn.Conv2d(a, 3, 3, padding=1)

    def forward(self, latent):
        x = self.input(latent * self.deviation[:, None, None] + self.mean[:, None, None])
        x = self.block3(self.block2(self.block1(x)))
        x = F.interpolate(self.up1(x), scale_factor=2)
        x = self.block5(self.block4(x))
        x = F.interpolate(self.up2(x), scale_factor=2)
        x = self.block7(self.block6(x))
        return self.output(F.silu(x))
