# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Tells the mouth of a sound that it hears as a whole, what comes later included: it teaches the audio encoder, which must answer
after a quarter of a second (train/teacher.py). It serves the training alone."""
import torch
import torch.nn.functional as F
from torch import nn

from convert import whisper
from data.speech import MELS, ROW, log_mel
from networks.model import AudioLayer, convolved

LAYERS = 3          # of Whisper's encoder, which stay as they are
PAST, FUTURE = 10, 8  # stacks of two features before and after the picture's own
QUIET = 200         # rows of silence before and behind a sound


class Teacher(nn.Module):
    """coefficients: how many numbers say how a mouth is shaped."""

    def __init__(self, coefficients, width=192):
        super().__init__()
        kept = whisper.weights()
        self.register_buffer("places", kept["position_encodings/encodings"])
        size = self.places.shape[1]
        self.conv1, self.conv2 = nn.Conv1d(MELS, size, 3, padding=1), nn.Conv1d(size, size, 3, stride=2, padding=1)
        self.whisper = nn.ModuleList(AudioLayer(size, size // 64, expansion=4, gelu="none") for _ in range(LAYERS))
        for name in ("conv1", "conv2"):
            getattr(self, name).load_state_dict({kind: kept[f"{name}/{kind}"] for kind in ("weight", "bias")})
        for i, layer in enumerate(self.whisper):
            layer.load_state_dict(whisper.layer(kept, i))
        self.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.input = nn.Linear(2 * size, width)
        self.position = nn.Parameter(torch.randn(PAST + 1 + FUTURE, width) * 0.02)
        self.layers = nn.ModuleList(AudioLayer(width, width // 32) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear((PAST + 1 + FUTURE) * width, width)
        self.fc2 = nn.Linear(width, coefficients)

    @torch.no_grad()
    def hear(self, sound):
        """Whisper's features [K, 384], one every 20 ms, of a whole sound [N] in -1 ... 1, of half a minute less 4 s at most; the
        first is the one of QUIET rows before it."""
        rows = log_mel(F.pad(sound, (ROW * QUIET, ROW * QUIET))[None])
        x = convolved(self, rows)
        x = x + self.places[:x.shape[1]]
        for layer in self.whisper:
            x = layer(x)
        return x[0]

    def around(self, heard, rows):
        """[T, tokens, 768] of features [K, 384] around pictures at rows [T] (10 ms), which need not be whole numbers."""
        place = (rows[:, None] + QUIET) / 2 + torch.arange(-2 * PAST - 1, 2 * FUTURE + 1)
        place = place.clamp(0, len(heard) - 1)
        low = place.floor().long()
        part = (place - low).to(heard)[..., None]
        taken = heard[low] * (1 - part) + heard[(low + 1).clamp(max=len(heard) - 1)] * part
        return ((taken - self.mean) / self.deviation).unflatten(1, (-1, 2)).flatten(2)

    def forward(self, stacks):
        """Coefficients [B, 12] of stacks [B, tokens, 768]."""
        drop = lambda x: F.dropout(x, 0.15, self.training)
        x = self.input(drop(stacks)) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.fc2(F.silu(self.fc1(drop(self.norm(x)).flatten(1))))
