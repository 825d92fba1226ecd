# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""AV-HuBERT (Shi et al., arXiv 2201.02184), audio only, as the audio encoder, as in SyncDiff. Twin of
Sources/Speech/AVHuBERT.swift. Written from published facts; the project contains none of its code or weights.

The weights are Meta's, under their own licence. Those who have them convert them with convert/avhubert.py, and `load`
reads the result. The licence's restrictions are printed whenever such weights are loaded, and are recorded in every
model made from them.
"""
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from data.speech import SILENCE, STACK, log_filterbank
from networks.audio import AudioLayer
from networks.config import Config

FORMAT = "syncdiff-av-hubert"
KERNEL, GROUPS = 128, 16  # of the positional convolution
HEAD = 64  # channels of one attention head, in Base (12 layers of 768) and Large (24 of 1024)
PAST = 25  # stacks before the frame's own: AV-HuBERT was trained on sentences, so as many as a model may have
FUTURE = 5  # stacks after it: 255 ms of audio
LICENCE = ("AV-HuBERT is licensed under the AV-HuBERT license, Copyright (c) Meta Platforms, Inc. All Rights Reserved. "
           "For non-commercial research only: no commercial or production use of it or of anything made with it.")


class Stacked(nn.Module):
    """Input of filterbank rows in stacks of four."""
    BEFORE = 4 * PAST + 4  # rows of silence needed before the first frame

    def __init__(self, config):
        super().__init__()
        self.past, self.future = config.audio_past, config.audio_future

    @staticmethod
    def extract(sound):
        """The filterbank rows [B, R, 26] of audio [B, N] in -1 ... 1."""
        rows = [log_filterbank((32768 * one).round().clamp(-32768, 32767).short().cpu().numpy()) for one in sound]
        return torch.from_numpy(np.stack(rows)).to(sound.device)

    def around(self, heard, rows):
        """The stacks [B, T, tokens, 104] of rows [B, R, 26] around frames at rows [B, T] (10 ms)."""
        place = rows[..., None] + torch.arange(-STACK * self.past, STACK * (self.future + 1))
        taken = heard[torch.arange(len(heard))[:, None, None], place.to(heard.device)]
        return taken.unflatten(2, (-1, STACK)).flatten(3)

    @staticmethod
    def mask_unknown(stacks, count):
        """Stacks [..., tokens, 104] whose last rows, two for each of `count` (an int tensor), are unknown and set to
        silence."""
        rows = stacks.unflatten(-1, (STACK, -1)).flatten(-3, -2)
        known = torch.arange(rows.shape[-2]) < rows.shape[-2] - 2 * count[..., None]
        return torch.where(known[..., None].to(rows.device), rows, SILENCE).unflatten(-2, (-1, STACK)).flatten(-2)


class AVHuBERT(Stacked):
    """Audio tokens [B, T, config.audio_width] from the stacks [B, T, 104] around one frame.

    Every stack is normalised and projected to D channels. The audio channels are followed by D zeros in place of the
    video's, then by a LayerNorm of both. A convolution of 128 taps adds positions, followed by pre-norm transformer
    layers with exact GELU. `norm` is the checkpoint's own norm after its last layer; after an earlier layer, whose
    output AV-HuBERT uses without a norm, it is a new one, because the keys and values need a common scale. `output` is
    ours."""

    def __init__(self, config):
        super().__init__(config)
        width = config.av_hubert
        self.input = nn.Linear(104, width)
        self.fusion_norm = nn.LayerNorm(2 * width)
        self.fusion = nn.Linear(2 * width, width)
        self.position = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=GROUPS)
        self.layers = nn.ModuleList(AudioLayer(width, width // HEAD, expansion=4, gelu="none")
                                    for _ in range(config.audio_layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, config.audio_width)

    def features(self, stacks):
        """AV-HuBERT's own features, [B, T, D]."""
        x = self.input(F.layer_norm(stacks, (104,)))
        x = self.fusion(self.fusion_norm(F.pad(x, (0, x.shape[2]))))
        # An even kernel yields one value too many: it covers 64 stacks before its own and 63 after.
        x = x + F.gelu(self.position(x.transpose(1, 2))[..., :-1]).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def forward(self, stacks):
        return self.output(self.features(stacks))

    def freeze(self, layers=None):
        """Freezes everything up to and including this many layers. None: three quarters of the layers, for which
        SyncDiff's authors report the best lips (9 of 12)."""
        layers = len(self.layers) * 3 // 4 if layers is None else layers
        if not 0 <= layers <= len(self.layers):
            raise SystemExit(f"--frozen-layers is 0 to {len(self.layers)} with this encoder, not {layers}")
        for part in (self.input, self.fusion_norm, self.fusion, self.position, *self.layers[:layers]):
            part.requires_grad_(False)


def load(path):
    """(AVHuBERT, Config) from a file written by convert/avhubert.py, in float32; `output` is untrained."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise SystemExit(f"{path} is not an AV-HuBERT encoder; write it with convert/avhubert.py")
        print(f"{path}: {metadata['licence']}", flush=True)
        kept = {name: file.get_tensor(name).float() for name in file.keys()}
    layers = sum(name.endswith(".qkv.weight") for name in kept)
    config = Config(av_hubert=len(kept["input.weight"]), audio_layers=layers, audio_past=PAST, audio_future=FUTURE)
    encoder = AVHuBERT(config)
    encoder.load_state_dict(kept | {name: value for name, value in encoder.state_dict().items()
                                    if name.startswith("output.")})
    return encoder, config
