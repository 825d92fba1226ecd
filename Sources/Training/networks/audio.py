# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The audio encoder with its front end, and the lips head (twins in Sources/Speech: AudioEncoder.swift, Front.swift,
LipsHead.swift). Shapes are [B, T, C]."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from data.speech import MELS, log_mel
from networks.attention import attention


class AudioLayer(nn.Module):
    """Pre-norm transformer layer over [B, T, C]. gelu: the `approximate` argument of PyTorch's GELU."""

    def __init__(self, width, heads, expansion=3, gelu="tanh"):
        super().__init__()
        self.heads, self.gelu = heads, gelu
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, expansion * width)
        self.fc2 = nn.Linear(expansion * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(attention(q, k, v).transpose(1, 2).reshape(b, t, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate=self.gelu))


class CausalLayer(AudioLayer):
    """The same with exact GELU and local attention over a stream x [B, T, C]: each row attends to the BEFORE rows
    before it, to itself, and to the `after` rows after it. Positions are relative (Shaw et al., arXiv 1803.02155):
    `near` is added to keys and `carry` to values, by distance. Whisper's absolute positions cover half a minute and are
    of no use in an endless stream."""
    BEFORE = 50

    def __init__(self, width, heads, after):
        super().__init__(width, heads, expansion=4, gelu="none")
        self.after = after
        self.near, self.carry = (nn.Parameter(torch.zeros(heads, self.BEFORE + 1 + after, width // heads)) for _ in range(2))

    def forward(self, x):
        b, t, c = x.shape
        span, places = self.near.shape[1], torch.arange(t, device=x.device)
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        distance = places - places[:, None] + self.BEFORE
        hidden = (distance < 0) | (distance >= span)
        by_offset = (q @ self.near.to(q).transpose(-1, -2)).gather(-1, distance.clamp(0, span - 1).expand(b, self.heads, t, t))
        weights = (q @ k.transpose(-1, -2) + by_offset) / math.sqrt(q.shape[-1])
        weights = weights.float().masked_fill(hidden, -torch.inf).softmax(-1).to(q)
        other = places[:, None] + torch.arange(span, device=x.device) - self.BEFORE
        by_distance = weights.gather(-1, other.clamp(0, t - 1).expand(b, self.heads, t, span)) * ((other >= 0) & (other < t))
        y = weights @ v + by_distance @ self.carry.to(q)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def convolved(net, rows):
    """Whisper's two convolutions, net.conv1 and net.conv2, over rows of log_mel [B, R, 80]: [B, R // 2, 384]."""
    return F.gelu(net.conv2(F.gelu(net.conv1(rows.transpose(1, 2))))).transpose(1, 2)


class Front(nn.Module):
    """The audio encoder's front end: rows of log_mel [B, R, 80] -> features [B, R // 2, 384], one every 20 ms. It is
    the first layers of Whisper-tiny's encoder (Radford et al., arXiv 2212.04356; convert/whisper.py), which know speech
    of all kinds, fine-tuned for streaming. Feature k needs the rows up to 2 k + 2 + 2 sum(AFTER)."""
    WIDTH, HEADS, AFTER = 384, 6, (4, 0)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, self.WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(self.WIDTH, self.WIDTH, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(self.WIDTH))
        self.layers = nn.ModuleList(CausalLayer(self.WIDTH, self.HEADS, after) for after in self.AFTER)
        self.register_buffer("mean", torch.zeros(self.WIDTH))
        self.register_buffer("deviation", torch.ones(self.WIDTH))

    def forward(self, rows):
        x = convolved(self, rows) + self.place
        for layer in self.layers:
            x = layer(x)
        return (x - self.mean) / self.deviation


class AudioEncoder(nn.Module):
    """Audio tokens [B, T, 192] from the features around one frame, in stacks of two [B, T, 768]. Every frame's window
    is encoded on its own."""

    def __init__(self, config):
        super().__init__()
        self.past, self.future = config.audio_past, config.audio_future
        self.front = Front()
        self.input = nn.Linear(2 * Front.WIDTH, config.audio_width)
        self.position = nn.Parameter(torch.randn(config.tokens, config.audio_width) * 0.02)
        self.layers = nn.ModuleList(AudioLayer(config.audio_width, config.audio_width // config.head)
                                    for _ in range(config.audio_layers))
        self.norm = nn.LayerNorm(config.audio_width)

    BEFORE = 2 * (2 * CausalLayer.BEFORE + 24)  # rows of silence needed before the first frame

    def extract(self, sound):
        """The features [B, K, 384] of audio [B, N] in -1 ... 1."""
        return self.front(log_mel(sound))

    def around(self, features, rows):
        """The stacks [B, T, tokens, 768] of features [B, K, 384] around frames at rows [B, T] (10 ms)."""
        place = rows[..., None] // 2 + torch.arange(-2 * self.past - 1, 2 * self.future + 1)
        taken = features[torch.arange(len(features))[:, None, None], place.to(features.device)]
        return taken.unflatten(2, (-1, 2)).flatten(3)

    @staticmethod
    def mask_unknown(stacks, count):
        """Stacks [..., tokens, 768] whose last `count` features, int [...], are unknown and set to 0, which is their mean."""
        features = stacks.unflatten(-1, (2, -1)).flatten(-3, -2)
        known = torch.arange(features.shape[-2], device=stacks.device) < features.shape[-2] - count[..., None].to(stacks.device)
        return (features * known[..., None]).unflatten(-2, (-1, 2)).flatten(-2)

    def forward(self, stacks):
        x = self.input(stacks) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class LipsHead(nn.Module):
    """Predicts a frame's mouth-shape coefficients [B, 12] (data/geometry.py) from its audio tokens [B, T, 192]."""

    def __init__(self, config):
        super().__init__()
        self.fc1 = nn.Linear(config.tokens * config.audio_width, config.audio_width)
        self.fc2 = nn.Linear(config.audio_width, config.coefficients)

    def forward(self, tokens):
        return self.fc2(F.silu(self.fc1(tokens.flatten(1))))
