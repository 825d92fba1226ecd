# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""How close generated images are to real ones, [B, 3, H, W] in -1 ... 1."""
import torch
import torch.nn.functional as F

MOUTH = ..., slice(14, 66), slice(10, 70)  # the part of a window around the mouth


def edges(x):
    """[B, 1, H - 2, W - 2]: the Laplacian of the grey image."""
    kernel = x.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(x.mean(1, keepdim=True), kernel)


def laplacian_energy(x):
    """[B]: the variance of the grey image's Laplacian, which blur reduces."""
    return edges(x).var(dim=(1, 2, 3))


def psnr(made, real):
    """Mean over the images, dB."""
    return 10 * torch.log10(4 / (made.clamp(-1, 1) - real).square().mean((1, 2, 3))).mean().item()


def sharpness(made, real):
    """The median fraction of the Laplacian's variance that is preserved."""
    return (laplacian_energy(made) / laplacian_energy(real)).median().item()
