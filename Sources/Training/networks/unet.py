# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The U-Net (Ronneberger et al. 2015, in the form of Ho et al. 2020), leaves before root, in the order of
Sources/Diffusion/UNet.swift. Shapes are [B, C, H, W]."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from networks.attention import attention


class ResBlock(nn.Module):
    """Twice GroupNorm, SiLU and convolution, with a residual connection. The conditioning [B, E] scales and shifts the
    second norm."""

    def __init__(self, cin, cout, config):
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, cin)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.condition = nn.Linear(config.embedding, 2 * cout)
        self.norm2 = nn.GroupNorm(config.groups, cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x, condition):
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class CrossAttention(nn.Module):
    """Cross-attention from every position of x [B, C, H, W] to the audio tokens [B, T, 192]."""

    def __init__(self, channels, config):
        super().__init__()
        self.heads = channels // config.head
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(config.audio_width, channels)
        self.value = nn.Linear(config.audio_width, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x, tokens):
        b, c, h, w = x.shape
        split = lambda y: y.view(b, -1, self.heads, c // self.heads).transpose(1, 2)
        q = split(self.query(self.norm(x.flatten(2).transpose(1, 2))))
        y = attention(q, split(self.key(tokens)), split(self.value(tokens)))
        return x + self.out(y.transpose(1, 2).reshape(b, h * w, c)).transpose(1, 2).reshape(b, c, h, w)


class SelfAttention(nn.Module):
    """Self-attention among the positions of x [B, C, H, W]."""

    def __init__(self, channels, config):
        super().__init__()
        self.heads = channels // config.head
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x):
        b, c, h, w = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(tokens).view(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return x + self.out(y).transpose(1, 2).reshape(b, c, h, w)


def timestep_embedding(t, width):
    """Sinusoidal embedding of 1000 t, cosines first (Ho et al. 2020, Vaswani et al. 2017): [B] in 0 ... 1 -> [B, width]."""
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(width // 2, device=t.device) / (width // 2))
    angles = 1000.0 * t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class UNet(nn.Module):
    """The network F of Denoiser. x: [B, 4 + 4 + 2 + 4, 20, 20] = noisy latent, masked latent, lips, identity latent."""

    def __init__(self, config):
        super().__init__()
        e, (a, b, c) = config.embedding, config.unet_channels
        z = config.latent_channels
        self.time1 = nn.Linear(e // 2, e)
        self.time2 = nn.Linear(e, e)
        self.audio = nn.Linear(config.tokens * config.audio_width, e)
        self.prior = nn.Linear(config.prior, e)
        self.no_prior = nn.Parameter(torch.zeros(e))
        self.input = nn.Conv2d(3 * z + 2, a, 3, padding=1)
        self.down1_res1, self.down1_res2 = ResBlock(a, a, config), ResBlock(a, a, config)
        self.down1 = nn.Conv2d(a, a, 3, stride=2, padding=1)
        self.down2_res1, self.down2_attn1 = ResBlock(a, b, config), CrossAttention(b, config)
        self.down2_res2, self.down2_attn2 = ResBlock(b, b, config), CrossAttention(b, config)
        self.down2 = nn.Conv2d(b, b, 3, stride=2, padding=1)
        self.mid_res1, self.mid_attn1 = ResBlock(b, c, config), CrossAttention(c, config)
        self.mid_res2, self.mid_self = ResBlock(c, c, config), SelfAttention(c, config)
        self.mid_res3, self.mid_attn2 = ResBlock(c, c, config), CrossAttention(c, config)
        self.mid_res4 = ResBlock(c, c, config)
        self.up2 = nn.Conv2d(c, b, 3, padding=1)
        self.up2_res1, self.up2_attn1 = ResBlock(2 * b, b, config), CrossAttention(b, config)
        self.up2_res2, self.up2_attn2 = ResBlock(b, b, config), CrossAttention(b, config)
        self.up1 = nn.Conv2d(b, a, 3, padding=1)
        self.up1_res1, self.up1_res2 = ResBlock(2 * a, a, config), ResBlock(a, a, config)
        self.norm = nn.GroupNorm(config.groups, a)
        self.output = nn.Conv2d(a, z, 3, padding=1)
        for last in [self.output] + [m.out for m in self.modules() if isinstance(m, (CrossAttention, SelfAttention))] \
                + [m.conv2 for m in self.modules() if isinstance(m, ResBlock)]:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def condition(self, t, tokens, prior, has_prior):
        """The conditioning [B, E] from time [B], audio tokens [B, T, 192], bottleneck values [B, 6], and whether each
        sample has any [B]."""
        time = self.time2(F.silu(self.time1(timestep_embedding(t, self.time1.in_features))))
        pose = torch.where(has_prior[:, None], self.prior(prior), self.no_prior.expand(len(t), -1))
        return F.silu(time + self.audio(tokens.flatten(1)) + pose)

    def forward(self, x, t, tokens, prior, has_prior):
        e = self.condition(t, tokens, prior, has_prior)
        x1 = self.input(x)
        x1 = self.down1_res2(self.down1_res1(x1, e), e)
        x2 = self.down1(x1)
        x2 = self.down2_attn1(self.down2_res1(x2, e), tokens)
        x2 = self.down2_attn2(self.down2_res2(x2, e), tokens)
        x3 = self.down2(x2)
        x3 = self.mid_attn1(self.mid_res1(x3, e), tokens)
        x3 = self.mid_self(self.mid_res2(x3, e))
        x3 = self.mid_attn2(self.mid_res3(x3, e), tokens)
        x3 = self.mid_res4(x3, e)
        y2 = torch.cat([F.interpolate(self.up2(x3), scale_factor=2), x2], 1)
        y2 = self.up2_attn1(self.up2_res1(y2, e), tokens)
        y2 = self.up2_attn2(self.up2_res2(y2, e), tokens)
        y1 = torch.cat([F.interpolate(self.up1(y2), scale_factor=2), x1], 1)
        y1 = self.up1_res2(self.up1_res1(y1, e), e)
        return self.output(F.silu(self.norm(y1)))
