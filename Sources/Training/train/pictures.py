# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""How near made pictures are to the real ones, [B, 3, H, W] in -1 ... 1."""
import torch
import torch.nn.functional as F

MOUTH = ..., slice(14, 66), slice(10, 70)  # of a window: around the mouth


def edges(x):
    """[B, 1, H - 2, W - 2]: the grey picture's Laplacian."""
    kernel = x.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(x.mean(1, keepdim=True), kernel)


def laplacian_energy(x):
    """[B]: variance of the grey picture's Laplacian, which blur takes away."""
    return edges(x).var(dim=(1, 2, 3))


def psnr(made, real):
    """Mean over the pictures, dB."""
    return 10 * torch.log10(4 / (made.clamp(-1, 1) - real).square().mean((1, 2, 3))).mean().item()


def sharpness(made, real):
    """The median share of the Laplacian's variance that is kept."""
    return (laplacian_energy(made) / laplacian_energy(real)).median().item()
