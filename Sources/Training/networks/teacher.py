# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The teacher predicts the mouth from a whole utterance, including its future. It trains the audio encoder, which must
answer within a quarter of a second (train/teacher.py), and is used in training only."""
import torch
import torch.nn.functional as F
from torch import nn

from convert import whisper
from data.speech import MELS, ROW, log_mel
from networks.audio import AudioLayer, convolved

LAYERS = 3  # frozen layers of Whisper's encoder
PAST, FUTURE = 10, 8  # stacks of two features before and after the frame's own
QUIET = 200  # rows of silence before and after the audio


class Teacher(nn.Module):
    """coefficients: the number of mouth-shape coefficients."""

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
    def extract(self, sound):
        """Whisper's features [K, 384], one every 20 ms, of audio [N] in -1 ... 1 of at most 26 s. The first one belongs
        to the first of QUIET rows of silence before it."""
        rows = log_mel(F.pad(sound, (ROW * QUIET, ROW * QUIET))[None])
        x = convolved(self, rows)
        x = x + self.places[:x.shape[1]]
        for layer in self.whisper:
            x = layer(x)
        return x[0]

    def around(self, heard, rows):
        """[T, tokens, 768]: the features [K, 384] around frames at rows [T] (10 ms), which may be fractional."""
        place = (rows[:, None] + QUIET) / 2 + torch.arange(-2 * PAST - 1, 2 * FUTURE + 1)
        place = place.clamp(0, len(heard) - 1)
        low = place.floor().long()
        part = (place - low).to(heard)[..., None]
        taken = heard[low] * (1 - part) + heard[(low + 1).clamp(max=len(heard) - 1)] * part
        return ((taken - self.mean) / self.deviation).unflatten(1, (-1, 2)).flatten(2)

    def forward(self, stacks):
        """The coefficients [B, 12] for stacks [B, tokens, 768]."""
        drop = lambda x: F.dropout(x, 0.15, self.training)
        x = self.input(drop(stacks)) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.fc2(F.silu(self.fc1(drop(self.norm(x)).flatten(1))))
