# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Attention, shared by the audio encoder and the U-Net."""
import math


def attention(q, k, v):
    """Scaled dot-product attention over [B, heads, T, D]. Written out, because for a few tokens PyTorch's fused kernel
    is slower on a CPU, several times so in its backward pass."""
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
