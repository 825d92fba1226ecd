# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The sizes of the networks (twin of Sources/Diffusion/Configuration.swift)."""
from dataclasses import asdict, dataclass


@dataclass
class Config:
    window: int = 80  # px, side of the face window
    latent_channels: int = 4
    ae_channels: tuple = (24, 48, 96)
    unet_channels: tuple = (64, 128, 192)
    groups: int = 8               # of every GroupNorm
    head: int = 32                # channels of one attention head
    embedding: int = 256          # width of the conditioning vector
    prior: int = 6  # width of the previous-frame bottleneck
    audio_width: int = 192
    audio_layers: int = 3
    audio_past: int = 10  # 40 ms stacks before the frame's own
    audio_future: int = 3  # 40 ms stacks after it
    coefficients: int = 12  # mouth-shape coefficients (data/geometry.py)
    steps: int = 2
    av_hubert: int = 0  # width of AV-HuBERT if it is the audio encoder (avhubert.py); 0: AudioEncoder

    @property
    def tokens(self):
        return self.audio_past + 1 + self.audio_future

    def dict(self):
        fields = asdict(self)
        if not self.av_hubert:
            del fields["av_hubert"]
        return fields
