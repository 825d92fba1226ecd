# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The model: bottleneck, denoiser, sampler, and what is painted of their result. The networks it is made of are in audio.py,
autoencoder.py and unet.py. Sources/Diffusion and Sources/Speech are their twins, with the same names in the same order.

Shapes here are PyTorch's [B, C, H, W]; the Swift side uses [H, W, C]. Pixels are RGB in -1 ... 1. The parts are named after
SyncDiff (arXiv 2503.13371); meta/decisions/ explains what the paper leaves open.
"""
import torch
import torch.nn.functional as F
from torch import nn

from networks.audio import AudioEncoder, LipsHead
from networks.autoencoder import Decoder, Encoder
from networks.avhubert import AVHuBERT
from networks.unet import UNet

BORDER, EDGE = 4, 10  # px at the window's edges that are not painted, and over which painting fades out inside them


def autocast(device):
    """bfloat16 where the hardware supports it; elsewhere it is several times slower than float32."""
    fast = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device, torch.bfloat16, enabled=fast)


def audio_encoder(config):
    return AVHuBERT(config) if config.av_hubert else AudioEncoder(config)


class Bottleneck(nn.Module):
    """The previous frame's latent [B, 4, 20, 20] -> 6 values in -1 ... 1: enough for its pose, too few to copy its mouth."""

    def __init__(self, config):
        super().__init__()
        side = config.window // 16
        self.conv1 = nn.Conv2d(config.latent_channels, 32, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.out = nn.Linear(64 * side * side, config.prior)

    def forward(self, latent):
        x = F.silu(self.conv2(F.silu(self.conv1(latent))))
        return torch.tanh(self.out(x.permute(0, 2, 3, 1).flatten(1)))  # in Swift's [H, W, C] order


class Denoiser(nn.Module):
    """The denoiser's preconditioning. Flow matching (Lipman et al. 2023): x_t = (1 - t) z + t noise, with velocity v =
    noise - z. The U-Net F predicts what to add to the identity frame's latent: v = (x_t - identity - F) / t. An
    untrained network (F = 0) therefore reproduces the identity frame."""

    def __init__(self, config):
        super().__init__()
        self.unet = UNet(config)

    def forward(self, x, t, masked, lips, identity, tokens, prior, has_prior):
        """The velocity at x [B, 4, 20, 20] and time t [B] > 0."""
        f = self.unet(torch.cat([x, masked, lips, identity], 1), t, tokens, prior, has_prior)
        return (x - identity - f) / t[:, None, None, None]


class SyncDiff(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.audio_encoder = audio_encoder(config)
        self.lips = LipsHead(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.bottleneck = Bottleneck(config)
        self.denoiser = Denoiser(config)

    @torch.no_grad()
    def sample(self, noise, masked, lips, identity, tokens, previous=None, steps=None):
        """Samples a latent: the two-step Adams-Bashforth method from t = 1 to 0 in equal steps, the first step Euler's.
        previous: the latent painted for the previous frame, or None."""
        steps = steps or self.config.steps
        has_prior = torch.full((len(noise),), previous is not None, device=noise.device)
        prior = self.bottleneck(previous) if previous is not None else noise.new_zeros(len(noise), self.config.prior)
        x, before = noise, None
        for i in range(steps):
            t = noise.new_full((len(noise),), 1 - i / steps)
            velocity = self.denoiser(x, t, masked, lips, identity, tokens, prior, has_prior)
            x = x - (velocity if before is None else 1.5 * velocity - 0.5 * before) / steps
            before = velocity
        return x


def masked(latent, lips):
    """The masked frame: a warped frame's latent [B, 4, 20, 20] with zeros wherever the lips [B, 2, 20, 20] reach, and
    within two latent pixels of that, because the encoder has leaked the old mouth that far."""
    return latent * (F.max_pool2d(lips[:, 1:], 5, 1, 2) <= 0)


def fade(side):
    """[side, side]: the opacity of the painted difference, 1 in the middle and 0 in the outermost BORDER px."""
    x = torch.arange(side).float()
    t = ((torch.minimum(x, side - 1 - x) - BORDER) / EDGE).clamp(0, 1)
    t = t * t * (3 - 2 * t)
    return t[:, None] * t


def pooled_lips(lips):
    """Lips [B, 2, 80, 80] at the latent's resolution."""
    return F.avg_pool2d(lips, 4)


def painted(model, latent, identity, warped, mask):
    """The warped images [B, 3, 80, 80] plus the difference of the two latents' decoded images, times mask. The border,
    where the mask is 0, is not decoded."""
    made, was = model.decoder(torch.cat([latent, identity])[..., 1:-1, 1:-1]).float().chunk(2)
    return warped + mask * F.pad(made - was, (BORDER,) * 4)
